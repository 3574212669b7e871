"""The rows of a run by difficulty, for a job that begins with what can be learned."""

from __future__ import annotations

import json
from pathlib import Path

from devkit.rehearsal.counts import count_rollouts
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from devkit.verdict.job import PLATFORM, Job
from devkit.verdict.learning import by_problem


def write_curriculum(run: Path, out: Path, job: Job = PLATFORM, *, pass_at: float = 1.0) -> int:
    """Write one JSON object a row of the dataset, the easiest first.

    ``row`` is its number from 0, ``rollouts`` those with a reward, ``success`` the mean score,
    ``informative`` the chance that a group of it differs in training, ``signal`` what a step
    learns from such a group. Rows without a reward are left out.

    Returns:
        How many were written.

    Raises:
        OSError, ValueError: the directory holds no run, or it cannot be read or written.
    """
    read_manifest(run)
    counted = count_rollouts(read_rollouts(run), pass_at)
    groups = {n: group.rewards for n, group in sorted(counted.groups.items()) if group.rewards}
    if not groups:
        raise ValueError(f"{run} has no rewards to order rows by")
    found = by_problem(list(groups.values()), group_size=job.group_size, pass_at=pass_at)
    rows = [
        {
            "row": number,
            "rollouts": len(rewards),
            "success": round(success, 4),
            "informative": round(differ, 4),
            "signal": round(signal, 4),
        }
        for (number, rewards), (success, differ, signal) in zip(groups.items(), found, strict=True)
    ]
    rows.sort(key=lambda row: (-row["success"], row["row"]))
    with out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return len(rows)
