"""A run knows which agent, library and packages its rewards are of, and is gone on with by no other."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
from rich.console import Console

from devkit.commands import run as run_command
from devkit.rehearsal import versions
from devkit.rehearsal.rescoring import rescore
from devkit.rehearsal.resume import OtherRun, begin
from devkit.rehearsal.run_files import read_manifest
from devkit.rehearsal.score_changes import ScoreChanges
from devkit.rehearsal.versions import version_of
from rollout.agent import load_agent
from tests.rehearsed import manifest, played

FILES = {
    "__init__.py": "import json\nimport httpx\nfrom .grading import grade\ndef play(episode): ...\n",
    "grading.py": "from shared_of_mine import limit\ndef grade(text): return limit\n",
    "words.txt": "crane\n",
    "scripts.py": "def gold(instance, messages): ...\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the package ``own`` and a module that it shares with others."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own").mkdir()
    for name, text in FILES.items():
        (tmp_path / "own" / name).write_text(text)
    (tmp_path / "shared_of_mine.py").write_text("limit = 1\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("own", "shared_of_mine")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "path", ["own/__init__.py", "own/grading.py", "own/words.txt", "shared_of_mine.py"]
)
def test_whatever_can_move_a_reward_moves_the_agents_hash(folder, path):
    before = version_of("own:play")
    assert version_of("own:play") == before
    (folder / path).write_text((folder / path).read_text() + "# \n")
    after = version_of("own:play")
    assert after.agent_sha256 != before.agent_sha256
    assert after.dependencies_sha256 == before.dependencies_sha256


@pytest.mark.parametrize(
    "path",
    ["own/dataset.jsonl", "own/test_own.py", "own/__pycache__/x.pyc", "own/.env", "other.py"],
)
def test_what_is_not_the_agent_does_not(folder, path):
    before = version_of("own:play")
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("x = 1\n")
    assert version_of("own:play") == before


def test_an_agents_hash_does_not_depend_on_where_it_lies_or_what_was_imported(folder, tmp_path):
    before = version_of("own:play")
    load_agent("environments.wordle:wordle")
    assert version_of("own:play") == before


def test_another_version_of_a_package_that_is_needed_moves_the_dependencies_hash(
    folder, monkeypatch
):
    before = version_of("own:play")
    real = metadata.distribution

    class Newer:
        version, requires = "99", None

    def moved(name):
        monkeypatch.setattr(
            versions.metadata,
            "distribution",
            lambda asked: Newer() if asked == name else real(asked),
        )
        return version_of("own:play").dependencies_sha256 != before.dependencies_sha256

    assert moved("httpx")
    assert moved("httpcore")  # which httpx needs
    assert not moved("pytest")


def test_an_agent_of_one_file_has_a_hash_as_well(folder):
    (folder / "shared_of_mine.py").write_text("import own.grading\ndef play(episode): ...\n")
    before = version_of("shared_of_mine:play").agent_sha256
    (folder / "own/grading.py").write_text("")
    assert version_of("shared_of_mine:play").agent_sha256 != before


def test_importing_is_not_needed_to_know_an_agents_packages(folder):
    """A framework takes seconds to import, and may ask for keys."""
    (folder / "own/grading.py").write_text("from langchain_openai.chat_models import base\n")
    loaded = set(sys.modules)
    version_of("own:play")
    assert not {name for name in set(sys.modules) - loaded if name.startswith("langchain")}


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("agent_sha256", "agent's source"),
        ("dependencies_sha256", "package"),
        ("dataset_sha256", "begun with"),
    ],
)
def test_a_run_of_another_version_is_not_gone_on_with(tmp_path, field, says):
    begin(tmp_path / "run", manifest(agent_sha256="1", dependencies_sha256="2"))
    begin(tmp_path / "run", manifest(agent_sha256="1", dependencies_sha256="2"))
    changed = {"agent_sha256": "1", "dependencies_sha256": "2"} | {field: "3"}
    with pytest.raises(OtherRun, match=says):
        begin(tmp_path / "run", manifest(**changed))


def test_a_new_score_is_of_the_agent_as_it_is_now(tmp_path):
    run = played(tmp_path / "run", "calculator", rows=1, group_size=1)
    agent = load_agent("environments.calculator:calculator")
    list(rescore(run, agent, tmp_path / "out", ScoreChanges("", "", "")))
    assert read_manifest(tmp_path / "out").agent_sha256 == version_of(agent.name).agent_sha256


def test_a_state_directory_answers_nothing_of_another_version(tmp_path, monkeypatch, capsys):
    console = Console(width=200)
    first = run_command._run_name(tmp_path, "one", console)
    assert run_command._run_name(tmp_path, "one", console) == first
    assert "anew" not in capsys.readouterr().out
    monkeypatch.setattr(run_command.time, "time_ns", lambda: 7_000_000)
    assert run_command._run_name(tmp_path, "two", console) == "7"
    assert "anew" in capsys.readouterr().out
    assert run_command._run_name(tmp_path, "two", console) == "7"
