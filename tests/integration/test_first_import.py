"""A framework that is imported inside the agent's function, by many first rollouts at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import threading
from rollout.agent import Agent
from rollout.judgement import of_agent

begin = threading.Barrier(8)
found = []

def first(episode):
    begin.wait()
    {imports}

def play():
    try:
        Agent("a:b", first).function(None)
    except BaseException as error:
        found.append(of_agent(error, "a:b").detail + repr(error))

threads = [threading.Thread(target=play) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "from agents import Agent as SdkAgent, Runner; from rollout.adapters.openai_agents import model",
        "from rollout.adapters.openai_agents import model; model.__call__; import agents; agents.Runner",
    ],
)
def test_the_agents_sdk_is_imported_by_eight_first_rollouts_at_once(imports):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.replace("{imports}", imports)],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p)),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
