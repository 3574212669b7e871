"""``rollout check`` imports the agent from the real build, as Lambda would, and from nothing else."""

from __future__ import annotations

import shutil

import pytest

from devkit.checks.built import CHECKS, Built
from devkit.emulator.sam_templates import ARCHITECTURE
from scripts.datasets import NAMES
from tests.building import ROOT

BUILT = ROOT / ".aws-sam" / ARCHITECTURE
SUFFIX = {"arm64": "Arm64", "x86_64": "X86"}[ARCHITECTURE]
AGENT = "from rollout import agent\n\n\n@agent\ndef play(episode):\n    {}return 1.0\n"


def found(place, agent="environments.mine:play"):
    """What is said of an agent: level and text by check."""
    return {f.check: (f.level, f.what) for check in CHECKS for f in check(Built(place, agent))}


@pytest.fixture
def layer(tmp_path):
    """A copy of the build; its environments' folder of packages."""
    for name in ("WorkerFunction", f"Dependencies{SUFFIX}", "RolloutLayer"):
        (tmp_path / name).symlink_to(BUILT / name)
    shutil.copytree(BUILT / f"Environments{SUFFIX}", tmp_path / f"Environments{SUFFIX}")
    shutil.copy(BUILT / "template.yaml", tmp_path)
    return tmp_path / f"Environments{SUFFIX}" / "python"


def written(layer, source):
    """The findings for an environment of this source."""
    package = layer / "environments" / "mine"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    said = found(layer.parents[1])
    assert said.pop("built-old")[0] == "warning"  # there is no such environment in the repository
    return said


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_loads_from_the_build(name):
    assert found(BUILT, f"environments.{name}:{name}")["built"][0] == "ok"


def test_a_package_that_only_this_machine_has_is_missing(layer, monkeypatch, tmp_path):
    (tmp_path / "outside.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("rich", "outside"):  # of the development environment, and of PYTHONPATH
        said = written(layer, f"import {name}\n" + AGENT.format(""))
        assert said["built-missing"][0] == "error"
        assert f"'{name}'" in said["built-missing"][1]
        shutil.rmtree(layer / "environments" / "mine")


def test_a_package_that_is_built_is_there(layer):
    (layer / "vendored.py").touch()
    said = written(layer, "import vendored\n" + AGENT.format("import vendored, json\n    "))
    assert {check: level for check, (level, _) in said.items()} == {"built": "ok"}


@pytest.mark.parametrize(
    ("inside", "level"),
    [
        ("import rich.table\n    ", "warning"),
        ("from rich import table\n    ", "warning"),
        ("try:\n        import rich\n    except ImportError:\n        pass\n    ", None),
    ],
)
def test_what_an_agent_imports_when_it_plays_is_looked_for_as_well(layer, inside, level):
    said = written(layer, AGENT.format(inside))
    assert said.get("built-missing", (None,))[0] == level
    assert level is None or "rich" in said["built-missing"][1]


def test_what_is_for_types_alone_need_not_be_there(layer):
    types = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import rich\n"
    assert written(layer, types + AGENT.format(""))["built"][0] == "ok"


@pytest.mark.parametrize(
    ("file", "over"),
    [
        ("pydantic/__init__.py", f"Dependencies{SUFFIX}"),
        ("rollout/episode.py", "RolloutLayer"),
        ("typing_extensions.py", f"Dependencies{SUFFIX}"),
        ("worker.py", "the function's own"),
        ("colorsys.py", "the standard library's"),
    ],
)
def test_what_stands_in_the_place_of_another_module_is_named(layer, file, over):
    path = layer / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    level, what = found(layer.parents[1], "environments.calculator:calculator")["built-shadowed"]
    assert level == "error"
    assert f"{file.split('/')[0].partition('.')[0]} of Environments{SUFFIX}" in what
    assert over in what


def test_what_an_import_reads_must_have_been_built(layer):
    # Datasets and scripts stay at home, and Lambda stands in the function's folder.
    source = "open('environments/calculator/dataset.jsonl')\n" + AGENT.format("")
    level, what = written(layer, source)["built"]
    assert level == "error"
    assert "FileNotFoundError at /opt/python/environments/mine/__init__.py:1" in what


def test_what_an_import_prints_is_no_answer(layer):
    assert written(layer, "print('{}')\n" + AGENT.format(""))["built"][0] == "ok"


def test_an_import_that_ends_python_is_an_error(layer):
    level, what = written(layer, "import os\n\nos._exit(3)\n")["built"]
    assert level == "error"
    assert "ended with 3" in what


def test_a_build_that_is_older_than_the_environments_is_named(layer):
    file = layer / "environments" / "sql" / "__init__.py"
    source = file.read_text()
    file.write_text(source + "# before\n")
    level, what = found(layer.parents[1], "environments.sql:sql")["built-old"]
    assert (level, what.split()[0]) == ("warning", "environments/sql/__init__.py")


def test_what_is_not_built_is_not_checked(tmp_path):
    assert found(tmp_path)["built"][0] == "unchecked"
