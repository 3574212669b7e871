"""A run's directory is begun once and gone on with: what has ended there is not played again."""

from __future__ import annotations

import os
from pathlib import Path

from devkit.rehearsal.run_files import (
    MANIFEST,
    ROLLOUTS,
    Manifest,
    read_manifest,
    read_rollouts,
    write_manifest,
)

# What may differ between the process that began a run and one that goes on.
_OWN = {"name", "started_at", "rescored_from", "latency"}
_BLOCK = 1 << 16
# What differs without anybody having asked for something else.
_VERSIONS = {
    "agent_sha256": "The agent's source has",
    "dependencies_sha256": "The library, or a package that the agent needs, has",
}


class OtherRun(ValueError):
    """The directory holds another run."""


def begin(run: Path, manifest: Manifest) -> tuple[Manifest, set[str]]:
    """Begin a run, or go on with it.

    Returns:
        The manifest as it was begun, and the trajectory ids that have ended.

    Raises:
        OtherRun: naming the field in which the run there differs.
        ValueError: what is there cannot be read.
    """
    if not (run / MANIFEST).exists():
        if (run / ROLLOUTS).exists():
            raise OtherRun(
                f"{run} has rollouts and no {MANIFEST}; name another directory with --run"
            )
        write_manifest(run, manifest)
        return manifest, set()
    begun = read_manifest(run)
    asked, there = manifest.model_dump(exclude=_OWN), begun.model_dump(exclude=_OWN)
    for field, value in asked.items():
        if there[field] != value:
            if field in _VERSIONS:
                raise OtherRun(
                    f"{_VERSIONS[field]} changed since {run} was begun, and the rewards of two versions "
                    "are not mixed: name another directory with --run, or score what is there again "
                    "with rollout rescore"
                )
            raise OtherRun(
                f"{run} was begun with {field} {there[field]!r}, not {value!r}: ask for the same, or "
                "name another directory with --run"
            )
    cut_tail(run / ROLLOUTS)
    return begun, {record.trajectory_id for record in read_rollouts(run)}


def cut_tail(path: Path) -> None:
    """Cut off a last line that a crash left unfinished, so that the next one begins on its own."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = end
        while start > 0:
            size = min(_BLOCK, start)
            start -= size
            file.seek(start)
            newline = file.read(size).rfind(b"\n")
            if newline >= 0:
                if start + newline + 1 < end:
                    file.truncate(start + newline + 1)
                return
        file.truncate(0)
