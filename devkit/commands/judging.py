"""Judging a run that was played: its arguments, its report, its exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from devkit.commands.arguments import at_least, positive, seconds
from devkit.verdict.job import PLATFORM, RATE, Job

# Levels that end a pipeline, and that end a strict one as well: no answer is not a yes.
_FAIL, _DOUBT = ("not ready", "too few to tell"), ("doubtful", "costly")


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a verdict: the load to plan for, and when a rollout has passed."""
    parser.add_argument("--batch-size", type=at_least(1), default=128, help="problems a step (128)")
    parser.add_argument(
        "--train-group-size", type=at_least(2), default=8, help="rollouts of each (8)"
    )
    parser.add_argument("--max-steps", type=at_least(1), default=50, help="of the job (50)")
    parser.add_argument(
        "--concurrency", type=at_least(1), default=96, help="rollout_max_concurrency (96)"
    )
    parser.add_argument("--jobs", type=at_least(1), default=1, help="jobs that train at once (1)")
    parser.add_argument(
        "--latency", type=seconds, help="seconds a turn of the policy that is trained (the run's)"
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=RATE,
        help=f"of learning, if you know your model's (docs/readiness.md; {RATE})",
    )
    parser.add_argument("--pass-at", type=float, default=1.0, help="reward that passes (1.0)")


def job_of(options: argparse.Namespace) -> Job:
    """The job among the options of :func:`add_judging`."""
    return Job(
        batch_size=options.batch_size,
        group_size=options.train_group_size,
        max_steps=options.max_steps,
        concurrency=options.concurrency,
        jobs=options.jobs,
        latency=options.latency,
        rate=options.rate,
    )


def conclude(
    run: Path,
    console: Console,
    *,
    html: Path | None = None,
    as_json: bool = False,
    strict: bool = False,
    job: Job = PLATFORM,
    pass_at: float = 1.0,
) -> int:
    """Judge a run, write its report and print the verdict; the exit code.

    Args:
        run: the run's directory.
        console: for people.
        html: the report; ``RUN/report.html`` if None.
        as_json: print the verdict as one JSON document on stdout instead.
        strict: whether doubtful and costly are 1, too.
        job: what is to be trained.
        pass_at: reward from which on a rollout has passed.

    Raises:
        OSError, ValueError: the directory holds no run, or it cannot be read or written.
    """
    from devkit.verdict.report_page import write_report
    from devkit.verdict.show import show

    verdict, path = write_report(run, html, job, pass_at=pass_at)
    if as_json:
        sys.stdout.write(verdict.model_dump_json(by_alias=True, indent=2) + "\n")
    else:
        show(verdict, console)
        console.print(f"\nReport: {path}", highlight=False, soft_wrap=True)
    return int(verdict.level in (*_FAIL, *_DOUBT) if strict else verdict.level in _FAIL)
