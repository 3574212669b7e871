"""Runs with OpenEnv installed: its server in a process, sessions that end in every way, and the example."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rollout.adapters.openenv import openenv
from rollout.errors import SampleFailed
from rollout.testing import rehearse, says
from tests.integration.systems.stack import everywhere, tell

LOG = Path(os.environ["TMPDIR"]) / "sessions"


def server():
    command = [
        sys.executable,
        "-W",
        "ignore",
        "tests/integration/systems/openenv_server.py",
        str(LOG),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def lines(*texts):
    def script(instance, messages):
        spoken = sum(message["role"] == "assistant" for message in messages)
        line = texts[min(spoken, len(texts) - 1)]
        if isinstance(line, Exception):
            raise line
        return {"content": line}

    return script


def short(result):
    failure = result.failure
    return {"rewards": result.rewards, "metrics": result.metrics, "turns": result.turns,
            "boundary": failure and failure.boundary, "detail": failure and failure.detail}  # fmt: skip


def agent(port, **more):
    return openenv(f"http://127.0.0.1:{port}", **{"action": "word", "observe": "text", **more})


def play(port, script, seconds=60.0, **more):
    return short(rehearse(agent(port, **more), {"seed": 9}, script, seconds=seconds))


def ways(port):
    from environments.served import scripts

    lost = SampleFailed("cut off", captured="unknown")
    found = {
        "won": play(port, scripts.gold, rewards="turns"),
        "lost": play(port, says("9")),
        "the policy fails": play(port, lines("9", lost)),
        "the environment raises": play(port, lines("9", "raise")),
        "the environment is slow": play(port, lines("sleep"), timeout=1.0),
        "out of turns": short(rehearse(agent(port), {"seed": 9}, says("9"), max_turns=2)),
        "no such field": play(port, says("4"), action="wrod"),
        "told whole": rehearse(agent(port, observe=None), {"seed": 9}, says("9"))
        .transcript[0]
        .__repr__(),
    }
    found["sessions"] = len(found)
    time.sleep(3.0)  # the slow one ends
    found["noted"] = Counter(LOG.read_text().split())
    with ThreadPoolExecutor(30) as pool:
        played = list(
            pool.map(lambda n: rehearse(agent(port), {"seed": n}, scripts.gold).reward, range(30))
        )
    found["at once"] = played
    return found


def killed(process, port):
    found = play(port, lines("9", "kill"))
    process.wait(10)
    return {"in the middle": found, "before": play(port, says("4"), timeout=2.0)}


process, port = server()
os.environ["OPENENV_URL"] = f"http://127.0.0.1:{port}"
try:
    from environments.served import scripts

    told = {
        "ways": ways(port),
        "served": everywhere(
            "environments.served:served", {"seed": 9}, scripts.gold, seconds=11.4, slow=0.3
        ),
        "proof": [scripts.validate({"seed": seed}) for seed in range(3)],
        "killed": killed(process, port),
    }
finally:
    process.kill()
tell(told)
