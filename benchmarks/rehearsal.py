"""Scripted rollouts of ``rollout rehearse`` by calls, over sockets, and over sockets with moto.

``python -m benchmarks.rehearsal --rounds 5``. Each round plays a batch in each way, on a stack of its own
that is warm; read the ratios. Processor time is this process's, which plays everything.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devkit.emulator.stack import EmulatedStack
from devkit.places import dataset_of
from devkit.policies.named import scripted
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.play import play, read_rows
from devkit.rehearsal.run_files import append_rollout
from devkit.rehearsal.target import LocalJob, Task

_AGENT = "environments.calculator:calculator"
_WARM = 40
# The first is what the others are compared with: how local rollouts were played before the store.
_WAYS: dict[str, dict[str, Any]] = {
    "sockets, moto": {"moto": True},
    "sockets, local store": {},
    "calls, local store": {"direct": True},
}


def tasks() -> Iterator[Task]:
    """The environment's problems, over and over."""
    rows = list(read_rows(dataset_of(_AGENT), 12))
    for number in itertools.count():
        yield Task(f"bench-{number}", number, 0, rows[number % len(rows)])


def resident() -> float:
    """This process's resident memory now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def batch(way: dict[str, Any], count: int, concurrency: int) -> tuple[float, float, float, float]:
    """Milliseconds of a rollout, by the clock and of processor; resident MB before and after."""
    with (
        tempfile.TemporaryDirectory() as run,
        EmulatedStack(scripted(_AGENT, "", 0.75), agent=_AGENT, **way) as stack,
    ):
        client = RolloutClient(
            stack.url,
            durable=False,
            wait_seconds=60,
            connections=concurrency,
            transport=stack.transport,
        )
        target, todo = LocalJob(stack, client), tasks()
        list(play(target, itertools.islice(todo, _WARM), concurrency=concurrency))
        before, began, used = resident(), time.monotonic(), time.process_time()
        for record in play(target, itertools.islice(todo, count), concurrency=concurrency):
            if record.reward is None:
                raise SystemExit(f"a rollout did not come through: {record.error}")
            append_rollout(Path(run), record)
        seconds, used = time.monotonic() - began, time.process_time() - used
        client.close()
    return seconds / count * 1e3, used / count * 1e3, before, resident()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of a batch in each way (5)")
    parser.add_argument("--batch", type=int, default=250, help="rollouts of a batch (250)")
    parser.add_argument("--concurrency", type=int, default=8, help="in flight (8)")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in _WAYS}
    for _ in range(options.rounds):
        for name, way in _WAYS.items():
            found[name].append(batch(way, options.batch, options.concurrency))
    slowest = found["sockets, moto"]
    print(
        f"{options.batch} rollouts a batch, {options.rounds} rounds, {options.concurrency} in flight"
    )
    for name, each in found.items():
        clock, used = (statistics.median(one[part] for one in each) for part in (0, 1))
        quicker = statistics.median(a[0] / b[0] for a, b in zip(slowest, each, strict=True))
        cheaper = statistics.median(a[1] / b[1] for a, b in zip(slowest, each, strict=True))
        print(
            f"{name:<21} {clock:6.1f} ms each ({quicker:.1f} x)  {used:6.1f} ms of processor "
            f"({cheaper:.1f} x)  {each[-1][2]:.0f} MB, {each[-1][3]:.0f} after"
        )


if __name__ == "__main__":
    main()
