"""OpenAI's package, 2 with ``httpx`` and 3 with ``httpx2``, each alone in an environment of its own."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.building import ROOT

# Isolation is one adapter's to show here; test_adapters.py shows all of them in .venv.
CHOSEN = "(openai or another_api) and (async or not four_hundred)"
# Major version, the HTTP library it brings, the one that is not there, and which adapters' tests can run.
VERSIONS = [
    pytest.param(2, "httpx", "httpx2", f"{CHOSEN} and not agents", id="openai-2"),
    pytest.param(3, "httpx2", "httpx", CHOSEN, id="openai-3"),
]
WANTED = """
import sys, importlib.util as find, openai
from rollout.errors import AgentUnavailable
from rollout.adapters import langchain, strands
has, lacks = sys.argv[1:]
assert find.find_spec(has) and not find.find_spec(lacks)
for play in (strands.model, langchain.chat_model):
    try:
        play(None)
    except AgentUnavailable as error:
        print(error.detail)
print(openai.__version__)
"""


def inside(version, *arguments):
    python = ROOT / f".tools/openai{version}/bin/python"
    assert python.exists(), "run make setup: both versions have environments of their own"
    done = subprocess.run(
        [python, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/rollout/python'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("version", "has", "lacks", "chosen"), VERSIONS)
def test_the_adapters_play_over_the_http_library_that_openai_brings(version, has, lacks, chosen):
    options = ["-p", "no:cacheprovider", "--noconftest", "-W", "ignore", "-k", chosen]
    said = inside(version, "-m", "pytest", *options, "tests/integration/test_adapters.py")
    assert " passed" in said
    assert "failed" not in said


@pytest.mark.parametrize(("version", "has", "lacks", "chosen"), VERSIONS)
def test_an_adapter_without_its_package_names_what_to_install(version, has, lacks, chosen):
    *told, installed = inside(version, "-W", "ignore", "-c", WANTED, has, lacks).splitlines()
    assert installed.startswith(f"{version}.")
    for line, package in zip(told, ("strands-agents[openai]", "langchain-openai"), strict=True):
        assert f"needs the package {package}," in line
        assert "environments/requirements.txt" in line
