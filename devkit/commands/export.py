"""``rollout export``: write a run as a dataset that other trainers read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.messages import wrong


def register(commands: Any) -> None:
    """Add ``export`` to the command line."""
    export = commands.add_parser("export", help="write a rehearsal as a dataset for other trainers")
    export.add_argument("run", type=Path, help="the run's directory")
    export.add_argument("out", type=Path, help="OUT.jsonl")
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace, console: Console) -> int:
    from devkit.rehearsal.trainer_rows import export

    try:
        count = export(options.run, options.out)
    except (OSError, ValueError) as error:
        return wrong(error)
    console.print(f"{count} rollouts in {options.out}", highlight=False, soft_wrap=True)
    return 0
