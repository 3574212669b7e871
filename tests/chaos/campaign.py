"""Kills workers by the hundred and reconciles what the trainer captured with what we remember.

``python -m tests.chaos.campaign --n 5000 --seed 7`` or ``make chaos N=5000 SEED=7``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devkit.emulator.job_runtime import Trajectory
from devkit.emulator.process_killer import forked
from devkit.emulator.process_killer import kills as count_kills
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from rollout.settings import settings
from rollout.storage.records import Records
from tests.chaos.killer import CALLS, plan_of

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
# Seconds after which a rollout counts as slow, as many are on a busy machine, and after which as lost.
_SLOW_SECONDS, _LOST_SECONDS = 120.0, 1_800.0


@dataclass
class Toll:
    """What a campaign came to; the four lists must be empty. ``slow`` is the machine's fault."""

    rollouts: int = 0
    slow: int = 0
    kills: int = 0
    results: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    in_conflict: list[str] = field(default_factory=list)
    turn_twice: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.in_conflict or self.turn_twice or self.undelivered)

    def lines(self) -> list[str]:
        """The figures as text."""
        results = ", ".join(f"{name} {count}" for name, count in sorted(self.results.items()))
        return [
            f"rollouts {self.rollouts}, kills {self.kills} ({results})",
            f"rollouts that took over {_SLOW_SECONDS:.0f} s       {self.slow}",
            f"rollouts lost ({_LOST_SECONDS:.0f} s)              {len(self.lost)}",
            f"reports in conflict                 {len(self.in_conflict)}",
            f"trajectories with a turn twice      {len(self.turn_twice)}",
            f"rewards computed but not delivered  {len(self.undelivered)}",
        ]


@contextmanager
def chaotic_stack(directory: Path) -> Iterator[tuple[EmulatedStack, Path]]:
    """A stack whose worker is forked for each invocation and dies by plan."""
    kills = directory / "kills"
    box: list[EmulatedStack] = []
    stack = EmulatedStack(
        lambda asked: calculator.gold(asked.instance, asked.messages),
        durable=directory / "durable",
        invoke=forked(
            kills,
            lambda: box[0].environ(),  # noqa: PLW0108 - the box is filled below
            plan_of,
            preload=("devkit.emulator.preload", "tests.playing"),
        ),
        backoff=0,
    )
    box.append(stack)
    with stack:
        yield stack, kills


def boundaries(seed: int) -> list[str]:
    """A rollout for each boundary: before and after each call."""
    return [f"b-{seed}-{n}" for n in range(2 * CALLS)]


def at_random(seed: int, count: int) -> list[str]:
    """Rollouts that die at random, one to three times each."""
    return [f"r-{seed}-{n}" for n in range(count)]


def campaign(
    stack: EmulatedStack,
    kills: Path,
    names: list[str],
    *,
    concurrency: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> Toll:
    """Play every rollout asynchronously, wait for its end, and reconcile it."""
    toll = Toll()
    with (
        httpx.Client(timeout=60) as http,
        ThreadPoolExecutor(concurrency) as pool,
    ):
        waiting = {pool.submit(_play, stack, http, name): name for name in names}
        for done in as_completed(waiting):
            toll.slow += done.result() > _SLOW_SECONDS
            _reconcile(stack, waiting[done], toll)
            progress()
    toll.kills = count_kills(kills)
    return toll


def _play(stack: EmulatedStack, http: httpx.Client, name: str) -> float:
    """Play a rollout and wait for its end, or until it is lost; the seconds it took."""
    body = stack.request(name, ROW)
    headers = {"Prefer": "respond-async"}
    began = time.monotonic()
    answer = http.post(f"{stack.url}/rollout", json=body, headers=headers)
    if answer.status_code != 202:
        raise RuntimeError(f"{name} was not accepted: {answer.status_code} {answer.text}")
    while time.monotonic() < began + _LOST_SECONDS:
        state = http.get(f"{stack.url}/rollouts/{name}", params={"job_arn": JOB_ARN}).json()
        if state.get("state") in ("ready", "failed"):
            break
        time.sleep(0.3)
    return time.monotonic() - began


def _reconcile(stack: EmulatedStack, name: str, toll: Toll) -> None:
    trajectory = stack.simulator.trajectory(JOB_ARN, name)
    record = Records(settings()).get(JOB_ARN, name)
    toll.rollouts += 1
    if not record.terminal or trajectory.state == "open":
        toll.lost.append(name)
        return
    result = record.result()
    error = result.failure.slug if result.failure else result.status
    toll.results[error] += 1
    if _conflicts(trajectory):
        toll.in_conflict.append(name)
    if _repeats(trajectory):
        toll.turn_twice.append(name)
    if result.rewards is not None and trajectory.rewards != result.rewards:
        toll.undelivered.append(name)


def _conflicts(trajectory: Trajectory) -> bool:
    """Whether two reports said different things, or the trainer answered that they do."""
    said: dict[str, set[str]] = {}
    for report in trajectory.reports:
        said.setdefault(report.operation, set()).add(f"{report.payload} {report.client_token}")
    return any(len(words) > 1 for words in said.values()) or any(
        report.status != 200 for report in trajectory.reports
    )


def _repeats(trajectory: Trajectory) -> bool:
    """Whether a turn was captured twice, or does not go on from the one before it."""
    lengths = [len(turn.request["messages"]) for turn in trajectory.turns]
    return any(later <= earlier for earlier, later in pairwise(lengths))


def main() -> int:
    """Run a campaign from the command line; the exit code is 1 if a figure is not nought."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="rollouts that die at random")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a campaign")
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    names = [*boundaries(options.seed), *at_random(options.seed, options.n)]
    console = Console()
    columns = TextColumn("rollouts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (
        tempfile.TemporaryDirectory() as directory,
        chaotic_stack(Path(directory)) as (stack, kills),
        Progress(*columns, console=console) as bar,
    ):
        task = bar.add_task("", total=len(names))
        toll = campaign(
            stack,
            kills,
            names,
            concurrency=options.concurrency,
            progress=lambda: bar.advance(task),
        )
    console.print(f"seed {options.seed}")
    for line in toll.lines():
        console.print(line, highlight=False)
    return 0 if toll.clean else 1


if __name__ == "__main__":
    sys.exit(main())
