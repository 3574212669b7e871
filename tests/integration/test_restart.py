"""``make run STATE=…`` is killed in the middle and goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from devkit.emulator.job_runtime import Journal
from tests.building import ROOT


def start(state):
    command = [
        sys.executable, "-m", "devkit", "run", "--once", "--port", "0", "--limit", "5",
        "--group-size", "5", "--turn-seconds", "0.7", "--state", str(state),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_run_survives_a_kill(tmp_path):
    first = start(tmp_path)
    journal = Journal(tmp_path / "trajectories.jsonl")
    until = time.monotonic() + 60
    while sum(len(t.turns) for t in journal.read().values()) < 4:
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    before = journal.read()
    second = start(tmp_path)
    out, _ = second.communicate(timeout=120)
    after = journal.read()
    assert set(before) < set(after)
    assert len(after) == 25
    for trajectory in after.values():
        assert trajectory.state in ("rewarded", "failed"), out
        said = [json.dumps(turn.request["messages"]) for turn in trajectory.turns]
        assert len(said) == len(set(said))
    # Sixteen are played at once; the others cannot have been in a Sample when the kill came.
    assert sum(t.state == "rewarded" for t in after.values()) >= 25 - 16
    assert "rollouts  25" in out
