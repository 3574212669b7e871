"""The faults that the detectors found in a run, as findings of its verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from devkit.rehearsal.run_files import FAULTS
from devkit.verdict.model import Finding

_SEVERITIES: dict[str, Literal["not ready", "doubtful", "note"]] = {
    "fault": "not ready",
    "doubt": "doubtful",
    "note": "note",
}


def faults_of(run: Path) -> list[Finding]:
    """What ``faults.json`` of a run holds; nothing where the run was not searched.

    Raises:
        ValueError: the file is none of this program's.
    """
    path = run / FAULTS
    if not path.exists():
        return []
    return [
        Finding(
            code=fault["code"],
            severity=_SEVERITIES[fault["weight"]],
            measured=fault["measured"],
            threshold=0,
            says=f"{fault['says']} ({fault['example']})",
            do=fault["do"],
        )
        for fault in json.loads(path.read_text())["faults"]
    ]
