"""The failures of real clients against real sockets, judged as they must be: an outage or a refusal."""

from __future__ import annotations

import json
import os
import subprocess

from tests.building import ROOT


def test_every_client_that_meets_an_outage_is_known_by_it():
    python = ROOT / ".tools/clients/bin/python"
    assert python.exists(), "run make setup: the clients have an environment of their own"
    done = subprocess.run(
        [python, "-W", "ignore", ROOT / "tests/integration/clients_program.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers/rollout/python")},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 13
    wrong = {
        f"{client}, {server}": outcome
        for client, servers in found.items()
        for server, outcome in servers.items()
        if outcome[0] != ("refusal" if server == "404" else "outage")
    }
    assert not wrong
