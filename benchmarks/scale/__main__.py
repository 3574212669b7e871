"""Play one training step against AWS's default quotas at growing concurrency.

``python -m benchmarks.scale`` prints a table; ``--json`` the figures, ``--plots DIR`` two SVG files.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.scale.paper import on_paper
from benchmarks.scale.plots import draw
from benchmarks.scale.simulation import Result, Scenario, simulate
from devkit.checks.cost import Work, cost_of_rollout
from devkit.rehearsal.run_files import read_rollouts

# What moves each limit.
MOVES = {
    "lambda-concurrency": "rollout_max_concurrency; Lambda quota L-B99A9384",
    "lambda-scaling": "nothing: spread the start, or provisioned concurrency",
    "durable-starts": "JobConcurrency; Lambda quota L-A0D6E196",
    "checkpoints": "turns a rollout; Lambda quota L-DF87A8A6",
    "dynamodb-table": "the table's warm throughput",
    "dynamodb-open-shard": "SHARDS in rollout/storage/keys.py",
    "dynamodb-totals": "PARTS in rollout/storage/keys.py",
    "s3-puts": "nothing needed: a prefix a job",
}


def row_of(result: Result) -> dict[str, Any]:
    """One simulated step as plain figures, with the same step on paper."""
    scenario = result.scenario
    paper = on_paper(scenario)
    nearest = max(result.use, key=lambda name: result.use[name]["peak"])
    waiting = scenario.turns * scenario.sample_mean
    work = Work(turns=scenario.turns, waiting=waiting, computing=scenario.turns * 0.05)
    return {
        "concurrency": scenario.concurrency,
        "environments": scenario.environments,
        "seconds": round(result.seconds, 1),
        "seconds_on_paper": round(paper.seconds, 1),
        "mean_running": round(result.mean_running, 1),
        "late": result.late,
        "refused": result.refused,
        "throttled": result.throttled,
        "nearest": nearest,
        "moved_by": MOVES[nearest],
        "use": result.use,
        "mean_on_paper": paper.mean,
        "dollars": round(scenario.rollouts * sum(cost_of_rollout(work).values()), 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, draw."""
    options = _parser().parse_args(arguments)
    base = Scenario(
        rollouts=options.rollouts,
        turns=options.turns,
        sample_mean=options.seconds_per_turn,
        latencies=_latencies(options.rehearsal) if options.rehearsal else (),
        environments=options.environments,
        starts=options.starts,
        job_environments=options.job_concurrency,
        seed=options.seed,
    )
    if base.latencies:
        mean = sum(base.latencies) / len(base.latencies)
        base = replace(base, sample_mean=mean)
    progress = Console(stderr=True)
    began = time.monotonic()
    results: list[Result] = []
    for concurrency in options.concurrency:
        progress.print(f"simulating {concurrency} rollouts at once")
        results.append(simulate(replace(base, concurrency=concurrency)))
    rows = [row_of(result) for result in results]
    if options.plots:
        draw(options.plots, rows)
    if options.json:
        took = round(time.monotonic() - began, 1)
        print(json.dumps({"wall_seconds": took, "breaks": breaks(rows), "rows": rows}, indent=1))
    else:
        _print(Console(), rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=4_096, help="of the step (default 4096)")
    parser.add_argument("--turns", type=int, default=50, help="of a rollout (default 50)")
    parser.add_argument(
        "--concurrency", type=int, nargs="+", default=[96, 300, 600, 1_000, 2_000, 4_096],
        help="rollouts the trainer keeps open, several to compare",
    )  # fmt: skip
    parser.add_argument("--seconds-per-turn", type=float, default=5.0, help="mean (default 5)")
    parser.add_argument(
        "--environments", type=float, default=Scenario.environments, help="Lambda's"
    )
    parser.add_argument("--starts", type=float, default=Scenario.starts, help="a second")
    parser.add_argument("--job-concurrency", type=int, default=0, help="JobConcurrency")
    parser.add_argument("--rehearsal", type=Path, help="take the seconds of turns from this run")
    parser.add_argument("--seed", type=int, default=Scenario.seed)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--plots", type=Path, help="write scale-use.svg and scale-time.svg here")
    return parser


def _latencies(run: Path) -> list[float]:
    found = [turn.seconds for rollout in read_rollouts(run) for turn in rollout.turns]
    seconds = [second for second in found if second]
    if not seconds:
        raise SystemExit(f"{run} has no turn with its seconds; rehearse again, or leave it out")
    return seconds


def breaks(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """For each limit that is passed, the least concurrency of the sweep at which it is."""
    found: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row["concurrency"]):
        for name, use in row["use"].items():
            over = use["peak"] > 1 or use["refused"] > 0
            if over and name not in found:
                found[name] = row["concurrency"]
    return found


def _print(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="Peak demand as a share of each limit")
    table.add_column("rollouts at once", no_wrap=True)
    for row in rows:
        table.add_column(str(row["concurrency"]), justify="right", no_wrap=True)
    for name in MOVES:
        table.add_row(name, *(f"{row['use'][name]['peak']:.0%}" for row in rows))
    table.add_section()
    table.add_row("step, minutes", *(f"{row['seconds'] / 60:.1f}" for row in rows))
    table.add_row("on paper, minutes", *(f"{row['seconds_on_paper'] / 60:.1f}" for row in rows))
    table.add_row("environments, mean", *(f"{row['mean_running']:.0f}" for row in rows))
    for name in ("refused", "throttled", "late"):
        table.add_row(name, *(str(row[name]) for row in rows))
    console.print(table)
    console.print(f"Cost of the step: ${rows[0]['dollars']:.2f} whatever the concurrency.")
    for name, concurrency in breaks(rows).items():
        text = f"{name}: passed at {concurrency}; moved by {MOVES[name]}"
        console.print(text, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
