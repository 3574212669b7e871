"""Dependencies point one way."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.building import ROOT

LIBRARY = ROOT / "layers/rollout/python/rollout"
# Each module may import those that stand before it.
ORDER = [
    "errors", "contract", "settings", "trust", "job", "clients", "policy", "steps", "durable", "tools", "drift",
    "reply", "agent", "episode", "feedback", "run", "traces", "health", "table", "drain", "tallies", "records", "archive",
    "problem", "settle", "dispatch", "inline", "metrics", "telemetry", "rehearsal",
]  # fmt: skip


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module.removeprefix("rollout.")]
            if node.module == "rollout":
                names = [alias.name for alias in node.names]
            if node.module.split(".")[0] == "rollout":
                found.update(names)
    return found & set(ORDER)


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(p.stem for p in LIBRARY.glob("*.py") if p.stem != "__init__")


def test_modules_import_only_what_stands_before_them():
    for place, module in enumerate(ORDER):
        late = _imports(LIBRARY / f"{module}.py") - set(ORDER[:place])
        assert not late, f"{module} imports {late}"


def test_the_run_knows_no_aws():
    text = (LIBRARY / "run.py").read_text() + (LIBRARY / "steps.py").read_text()
    assert "boto" not in text
    assert "dynamodb" not in text


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
