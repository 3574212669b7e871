"""The commands a newcomer types."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scripts.datasets import AGENTS
from tests.building import ROOT


def run(*arguments, cwd=ROOT, **environ):
    command = [sys.executable, "-m", *arguments]
    known = {**os.environ, **environ}
    return subprocess.run(
        command, cwd=cwd, env=known, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize("name", AGENTS)
def test_every_environment_plays_through_the_api(name):
    done = run(
        "devkit", "run", "--once", "--port", "0", "--agent", AGENTS[name], "--limit", "3",
        "--group-size", "4", "--skill", "0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed  0" in done.stdout
    assert "rollouts  12" in done.stdout


def test_an_agent_that_cannot_be_loaded_is_named():
    done = run("devkit", "run", "--once", "--agent", "environments.nobody:nobody")
    assert done.returncode == 2
    assert "there is no module 'environments.nobody'" in " ".join(done.stdout.split())


def test_the_installed_command_finds_agents_from_any_folder(tmp_path):
    """The OpenAI Agents SDK, a package called agents, is installed beside it."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    data = str(ROOT / "environments/wordle/dataset.jsonl")
    done = subprocess.run(
        [ROOT / ".venv/bin/rollout", "probe", data, "--agent", "environments.wordle:wordle", "--limit", "1"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
