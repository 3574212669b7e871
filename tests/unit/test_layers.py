"""Imports go one way, held to the graph that ``make graph`` prints."""

from __future__ import annotations

import ast

import pytest

from scripts.import_graph import (
    ROOT,
    SOURCES,
    as_dot,
    as_text,
    by_folder,
    circle,
    folder_of,
    read_graph,
)

# The folders that each may import, besides itself.
TOP = {"rollout"}
LIBRARY = {
    *TOP, "rollout.adapters", "rollout.aws", "rollout.storage", "rollout.telemetry", "rollout.service",
}  # fmt: skip
LAPTOP = {"devkit", *LIBRARY, "handlers", "console"}
MAY_IMPORT = {
    # The two names of the reference SDK that the package hands out on demand.
    "rollout.__init__": {*TOP, "rollout.aws"},
    "rollout": {"rollout.adapters"},
    "rollout.adapters": TOP,
    "rollout.aws": TOP,
    "rollout.storage": {*TOP, "rollout.aws"},
    "rollout.telemetry": TOP,
    "rollout.service": LIBRARY - {"rollout.adapters"},
    "handlers": {*TOP, "rollout.service", "rollout.telemetry"},
    "console": {*TOP, "rollout.storage", "rollout.telemetry"},
    "devkit.__init__": set(),
    "console.__init__": set(),
    "devkit": TOP,
    "devkit.data": LAPTOP,
    "devkit.judging": {*LAPTOP, "devkit.data", "devkit.rehearsal"},
    "devkit.exports": {*LAPTOP, "devkit.rehearsal"},
    "devkit.emulator": LAPTOP,
    "devkit.policies": {*LAPTOP, "devkit.emulator"},
    "devkit.rehearsal": {*LAPTOP, "devkit.emulator", "devkit.policies"},
}
_PLAYED = {*LAPTOP, "devkit.emulator", "devkit.policies", "devkit.rehearsal"}
MAY_IMPORT |= dict.fromkeys(
    ("devkit.checks", "devkit.verdict", "devkit.training", "devkit.detectors"), _PLAYED
)
MAY_IMPORT["devkit.verdict"] = {*_PLAYED, "devkit.checks"}
MAY_IMPORT["devkit.commands"] = {
    *_PLAYED,
    "devkit.checks",
    "devkit.data",
    "devkit.judging",
    "devkit.exports",
    "devkit.verdict",
    "devkit.training",
    "devkit.detectors",
}
MAY_IMPORT["devkit.__main__"] = {*LAPTOP, "devkit.commands"}
# What a handler may know of the top level: how to parse, what can go wrong, how it is set up.
PARSING = {"rollout.contract", "rollout.errors", "rollout.settings"}


@pytest.fixture(scope="module")
def graph():
    return read_graph()


def test_every_module_of_every_folder_is_in_the_graph(graph):
    files = {path for source in SOURCES for path in (ROOT / source).rglob("*.py")}
    assert len(graph.modules) == len(files)
    assert {folder_of(module) for module in graph.modules} == set(MAY_IMPORT)


def test_folders_import_only_what_stands_below_them(graph):
    wrong = {
        (one.importer, one.imported)
        for one in graph.imports
        if one.imported in graph.modules
        and folder_of(one.importer) != folder_of(one.imported)
        and folder_of(one.imported) not in MAY_IMPORT[folder_of(one.importer)]
    }
    assert not wrong


def test_no_circle_of_modules_or_folders(graph):
    assert circle(graph.inside()) == []
    assert circle(by_folder(graph.inside())) == []


def test_the_top_level_imports_adapters_only_when_an_agent_asks_for_them(graph):
    at_once = {
        one
        for one in graph.imports
        if folder_of(one.importer) in ("rollout", "rollout.__init__")
        and one.imported in graph.modules
        and folder_of(one.imported) not in ("rollout", "rollout.__init__")
        and not one.deferred
    }
    assert not at_once


def test_the_top_level_reaches_no_boto(graph):
    tops = [module for module in graph.modules if folder_of(module) == "rollout"]
    assert len(tops) > 15
    for module in tops:
        reached = graph.reached(module)
        assert not {name for name in reached if name.split(".")[0] in ("boto3", "botocore")}, module
    assert "boto3" in graph.reached("rollout.aws.feedback")


def test_handlers_know_of_the_top_level_only_how_to_parse(graph):
    wrong = {
        (importer, imported)
        for importer, imported in graph.inside()
        if folder_of(importer) == "handlers"
        and folder_of(imported) == "rollout"
        and imported not in PARSING
    }
    assert not wrong


def test_handlers_are_short():
    for path in (ROOT / "functions").glob("*/*.py"):
        body = ast.parse(path.read_text()).body
        code = [
            node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))
        ]
        lines = sum((node.end_lineno or 0) - node.lineno + 1 for node in code)
        assert lines <= 60, f"{path.name} has {lines} lines of code"


def test_no_module_is_called_utils():
    places = (
        "layers/rollout",
        "functions",
        "environments",
        "devkit",
        "scripts",
        "tests",
        "benchmarks",
    )
    names = {path.stem for place in places for path in (ROOT / place).rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "env"}


# --- the graph itself -------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """Two packages that import each other in every way there is."""
    texts = {
        "a/__init__.py": "def late():\n    from a.deep import one\n",
        "a/deep/one.py": "from . import two\nfrom ..flat import name\nimport json.decoder\n",
        "a/deep/two.py": "import importlib\nimportlib.import_module('b.main')\n",
        "a/flat.py": "name = 1\nif name:\n    import b\n",
        "b/__init__.py": "",
        "b/main.py": "from a.flat import name as other\n",
    }
    for place, text in texts.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_graph(tmp_path, {"a": "a", "b": "b"})


def test_relative_deferred_and_named_imports_are_seen(small):
    assert small.inside() == {
        ("a", "a.deep.one"),
        ("a.deep.one", "a.deep.two"),
        ("a.deep.one", "a.flat"),
        ("a.deep.two", "b.main"),
        ("a.flat", "b"),
        ("b.main", "a.flat"),
    }
    assert [one.importer for one in small.imports if one.deferred] == ["a"]
    assert {"json.decoder", "importlib"} <= small.reached("a")


def test_a_circle_is_named(small):
    assert circle(small.inside()) == []
    assert {"a.flat", "a.deep.one"} <= set(circle({*small.inside(), ("a.flat", "a.deep.one")}))
    assert circle([("a", "b"), ("b", "c"), ("c", "a")])


def test_the_graph_is_printed_for_people_and_for_graphviz():
    pairs = {("a", "b"), ("b", "c"), ("a", "c")}
    assert as_text(pairs).split("\n") == ["a  b c", "b  c", "c"]
    assert '"a" -> "b";' in as_dot(pairs)
