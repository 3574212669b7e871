"""Runs a program beside this with the other systems' packages, and holds what an example came to."""

from __future__ import annotations

import json
import os
import subprocess

from tests.building import ROOT

_PYTHON = ROOT / ".tools/environments/bin/python"


def found_by(program, tmp_path_factory):
    """What a program under ``systems`` printed."""
    assert _PYTHON.exists(), "run make setup: the other systems have an environment of their own"
    places = ("examples", "", "layers/rollout/python", "functions/rollout", "functions/console")
    path = os.pathsep.join(str(ROOT / place) for place in places)
    scratch = str(tmp_path_factory.mktemp(program))
    done = subprocess.run(
        [_PYTHON, "-W", "ignore", f"tests/integration/systems/{program}_program.py"],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": scratch, "MPLCONFIGDIR": scratch},
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_played_everywhere(found, reward):
    """An example came to the same by every way in, and its trainer heard of it."""
    assert (found["inline"]["http"], found["inline"]["reward"]) == (200, reward)
    for way in ("durable", "job"):
        assert found[way]["state"] == "ready", found[way]
        assert found[way]["result"]["reward"] == reward
    assert found["job"]["answer"] == {}
    assert (found["job"]["trainer"], found["job"]["rewards"]) == ("rewarded", [reward])
