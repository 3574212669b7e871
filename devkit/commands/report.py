"""``rollout report``: judge a run that was played, and write its report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.judging import add_judging, conclude, job_of
from devkit.commands.messages import wrong


def register(commands: Any) -> None:
    """Add ``report`` to the command line."""
    report = commands.add_parser("report", help="judge a rehearsal and write its report")
    report.add_argument("run", type=Path, help="the run's directory")
    report.add_argument(
        "--json", action="store_true", help="print the verdict as one JSON document"
    )
    report.add_argument("--html", type=Path, help="the report (default RUN/report.html)")
    report.add_argument(
        "--curriculum", type=Path, help="write the rows by difficulty, easiest first, as JSON lines"
    )
    report.add_argument("--strict", action="store_true", help="exit 1 if doubtful or costly, too")
    add_judging(report)
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace, console: Console) -> int:
    try:
        if options.curriculum:
            from devkit.verdict.curriculum import write_curriculum

            write_curriculum(
                options.run, options.curriculum, job_of(options), pass_at=options.pass_at
            )
        return conclude(
            options.run,
            console,
            html=options.html,
            as_json=options.json,
            strict=options.strict,
            job=job_of(options),
            pass_at=options.pass_at,
        )
    except (OSError, ValueError) as error:
        return wrong(error)
