"""Judging a run that was played: its arguments, its report, its exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.arguments import at_least


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a verdict: the load to plan for, and when a rollout has passed."""
    parser.add_argument("--batch-size", type=at_least(1), default=128, help="problems a step (128)")
    parser.add_argument(
        "--train-group-size", type=at_least(1), help="rollouts of each (the run's own)"
    )
    parser.add_argument(
        "--concurrency", type=at_least(1), default=96, help="rollout_max_concurrency (96)"
    )
    parser.add_argument("--jobs", type=at_least(1), default=1, help="jobs that train at once (1)")
    parser.add_argument("--pass-at", type=float, default=1.0, help="reward that passes (1.0)")


def judging(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``judge`` among the options of :func:`add_judging`."""
    return {
        "batch_size": options.batch_size,
        "group_size": options.train_group_size,
        "concurrency": options.concurrency,
        "jobs": options.jobs,
        "pass_at": options.pass_at,
    }


def conclude(
    run: Path,
    console: Console,
    *,
    html: Path | None = None,
    as_json: bool = False,
    strict: bool = False,
    **arguments: Any,
) -> int:
    """Judge a run, write its report and print the verdict; the exit code.

    Args:
        run: the run's directory.
        console: for people.
        html: the report; ``RUN/report.html`` if None.
        as_json: print the verdict as one JSON document on stdout instead.
        strict: whether doubtful is 1, too.
        **arguments: from :func:`judging`.

    Raises:
        OSError, ValueError: the directory holds no run, or it cannot be read or written.
    """
    from devkit.verdict.report_page import write_report
    from devkit.verdict.show import show

    verdict, path = write_report(run, html, **arguments)
    if as_json:
        sys.stdout.write(verdict.model_dump_json(by_alias=True, indent=2) + "\n")
    else:
        show(verdict, console)
        console.print(f"\nReport: {path}", highlight=False, soft_wrap=True)
    return int(verdict.level in (("not ready", "doubtful") if strict else ("not ready",)))
