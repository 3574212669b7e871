"""A team's environments in a folder of their own, with this clone beside it: docs/your-repository.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from devkit.emulator import sam_cli
from scripts.datasets import NAMES
from tests.building import ROOT


def rollout(*arguments, cwd=ROOT, **environ):
    """Run the command as a clone does, from its folder."""
    return subprocess.run(
        [sys.executable, "-m", "devkit", *arguments],
        cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """A repository outside this one, as ``rollout init`` and ``rollout new`` leave it."""
    folder = tmp_path_factory.mktemp("team")
    assert rollout("init", str(folder)).returncode == 0
    made = rollout("new", "adder", ENVIRONMENTS=str(folder))
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_nothing_that_exists_is_written_over(team):
    (team / "samconfig.toml").write_text((team / "samconfig.toml").read_text() + "# ours\n")
    done = rollout("init", str(team))
    assert "kept  samconfig.toml" in done.stdout
    assert (team / "samconfig.toml").read_text().endswith("# ours\n")
    assert rollout("new", "adder", ENVIRONMENTS=str(team)).returncode == 2


@pytest.mark.parametrize("how", ["the repository", "the package", "the folder one stands in"])
def test_the_only_environment_is_played_where_none_is_named(team, how):
    environ, cwd = {
        "the repository": ({"ENVIRONMENTS": str(team)}, ROOT),
        "the package": ({"ENVIRONMENTS": str(team / "environments")}, ROOT),
        "the folder one stands in": ({"ENVIRONMENTS": ""}, team),
    }[how]
    done = rollout("run", "--once", "--port", "0", "--skill", "1", cwd=cwd, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rollouts  8" in done.stdout
    assert "mean reward  1.000" in done.stdout


def test_a_durable_run_and_workers_that_are_killed_find_it_too(team, tmp_path):
    environ = {"ENVIRONMENTS": str(team)}
    done = rollout(
        "run", "--once", "--port", "0", "--durable", "--skill", "1", "--limit", "1", **environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mean reward  1.000" in done.stdout
    done = rollout(
        "rehearse", str(team / "environments/adder/dataset.jsonl"), "--policy", "scripted:gold",
        "--faults", "killed-worker", "--group-size", "2", "--run", str(tmp_path / "run"), **environ,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run/rollouts.jsonl").read_text().splitlines()]
    assert len(rows) == 4, done.stdout + done.stderr
    # A turn that was being sampled when its worker died ends a rollout; the agent was there in each.
    assert any(row["reward"] == 1.0 for row in rows)
    assert not [row for row in rows if row["error"] and row["error"]["boundary"] == "agent"]


def test_what_was_written_passes_its_own_test_and_the_check(team):
    proved = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "environments/adder"],
        cwd=team, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert proved.returncode == 0, proved.stdout + proved.stderr
    checked = rollout("check", "--json", ENVIRONMENTS=str(team))
    found = {f["check"]: f for f in json.loads(checked.stdout)["findings"]}
    assert found["agent"]["measured"] == "environments.adder:adder"
    assert found["validate"]["measured"] == "2 of 2 rows"


def test_a_folder_without_environments_is_named(tmp_path):
    done = rollout("run", "--once", ENVIRONMENTS=str(tmp_path))
    assert (done.returncode, str(tmp_path) in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_the_template_that_is_built_names_the_teams_environments_and_our_code(team, monkeypatch):
    monkeypatch.setenv("ENVIRONMENTS", str(team))
    copy = sam_cli.template()
    assert copy == team / ".aws-sam" / "rollout.yaml"

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    found = yaml.load(copy.read_text(), Loader=Loader)["Resources"]
    places = {
        each["Properties"][key] for each in found.values() for key in ("CodeUri", "ContentUri")
        if key in each.get("Properties", {})
    }  # fmt: skip
    assert str(team / "environments") in places
    assert all(Path(place).is_dir() and Path(place).is_absolute() for place in places)
    contexts = {
        each["Metadata"]["ContextPath"]
        for each in found.values()
        if "ContextPath" in each.get("Metadata", {})
    }
    assert contexts == {str(ROOT / "layers/environments")}


def test_our_own_tests_are_of_our_own_environments(team):
    """Whatever folder a user names, pytest on this project neither runs nor reads it."""
    code = "import tests.conftest, devkit.places as p; print(p.repository())"
    asked = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, "ENVIRONMENTS": str(team)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.stdout.strip() == str(ROOT), asked.stderr


def test_a_file_of_a_users_beside_our_environments_is_not_ours_to_test(pytestconfig):
    """A first user's environment in a clone may be half written when make test is run."""
    places = pytestconfig.getini("testpaths")
    assert "environments" not in places
    assert {f"environments/{name}" for name in NAMES} < set(places)
    linted = subprocess.run(
        ["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"ruff \w+ (--check )?\.($|\s)|environments($|\s)", linted), linted
