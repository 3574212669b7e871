"""What the detectors found in a run, kept beside it: ``faults.json``, which the verdict reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from devkit.detectors.bench import Bench
from devkit.detectors.fault import Fault
from devkit.detectors.played import rows_of, search_run
from devkit.policies.scripts import script_of
from devkit.rehearsal.run_files import FAULTS, read_manifest, read_rollouts
from rollout.agent import load_agent


def search(run: Path, *, success: str = "success") -> list[Fault]:
    """Look a run over and keep what was found beside it.

    The agent's tools run again: replies are scored a second time, gold and the probes are played on some
    rows.

    Args:
        run: the run's directory.
        success: the agent's metric of what is wanted.

    Raises:
        AgentUnavailable: the run's agent cannot be loaded here.
        ValueError: the directory holds no run.
    """
    manifest = read_manifest(run)
    agent = load_agent(manifest.agent)
    try:
        gold = script_of(agent.name, "gold")
    except ValueError:  # without one, nothing is compared with it
        bench = None
    else:
        rows = rows_of(read_rollouts(run))
        bench = Bench(agent.function, [row for _, row in rows], gold, [n for n, _ in rows])
    found = search_run(read_rollouts(run), manifest, agent=agent, bench=bench, success=success)
    write_faults(run, found)
    return found


def write_faults(run: Path, faults: Sequence[Fault]) -> None:
    """Write what was found."""
    document = {"schema": 1, "faults": [asdict(fault) for fault in faults]}
    (run / FAULTS).write_text(json.dumps(document, indent=1) + "\n")
