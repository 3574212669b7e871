"""Plays groups of rollouts as a trainer would: some at once, each handed on as it ends."""

from __future__ import annotations

import itertools
import queue
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from devkit.emulator.stack import EmulatedStack
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.dataset import read
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.target import LocalJob, Target, Task
from rollout.rewards import all_same


def read_rows(path: Path, limit: int | None) -> list[dict[str, Any]]:
    """The first rows of a JSONL dataset as instances; see :func:`devkit.rehearsal.dataset.read`."""
    return list(itertools.islice(read(path), limit))


def tasks_of(
    rows: Iterable[tuple[int, dict[str, Any]]],
    group_size: int,
    *,
    name: str,
    done: Container[str] = (),
) -> Iterator[Task]:
    """Every row as a group of rollouts, read as they are asked for.

    Args:
        rows: number and instance of each.
        name: begins each trajectory id.
        done: trajectory ids that are passed over.
    """
    for group, instance in rows:
        for member in range(group_size):
            trajectory_id = f"{name}-{group:06d}-{member:02d}"
            if trajectory_id not in done:
                yield Task(trajectory_id, group, member, instance)


def play(
    target: Target,
    tasks: Iterator[Task],
    *,
    concurrency: int = 16,
    stop: threading.Event | None = None,
    drain_seconds: float = 60.0,
) -> Iterator[RolloutRecord]:
    """Play tasks; yields each rollout as it ends.

    Nothing is queued: a task is read when somebody is free to play it.

    Args:
        concurrency: rollouts in flight.
        stop: once set, nothing more is handed out; what is in flight is waited for.
        drain_seconds: how long that is waited for.

    Raises:
        Unreachable: from the target; what was in flight has been yielded before.
    """
    stop = stop or threading.Event()
    reading = threading.Lock()
    ended: queue.Queue[RolloutRecord | BaseException | None] = queue.Queue(2 * concurrency)

    def work() -> None:
        while not stop.is_set():
            try:
                with reading:
                    task = next(tasks, None)
                if task is None:
                    break
                ended.put(target.play(task))
            except BaseException as error:  # noqa: BLE001 - handed over to whoever iterates
                stop.set()
                ended.put(error)
        ended.put(None)

    for number in range(concurrency):
        threading.Thread(target=work, name=f"player-{number}", daemon=True).start()
    try:
        yield from _gather(ended, concurrency, stop, drain_seconds)
    finally:
        stop.set()


def _gather(
    ended: queue.Queue[RolloutRecord | BaseException | None],
    players: int,
    stop: threading.Event,
    drain_seconds: float,
) -> Iterator[RolloutRecord]:
    """Yield what the players hand over, until all have gone or ``drain_seconds`` are over."""
    wrong: BaseException | None = None
    until: float | None = None
    while players:
        if stop.is_set():
            until = until or time.monotonic() + drain_seconds
            if time.monotonic() > until:
                break
        try:
            item = ended.get(timeout=0.2)  # not for ever: a signal must get through
        except queue.Empty:
            continue
        if item is None:
            players -= 1
        elif isinstance(item, BaseException):
            wrong = wrong or item
        else:
            yield item
    if wrong is not None:
        raise wrong


def play_groups(
    stack: EmulatedStack,
    rows: Sequence[dict[str, Any]],
    group_size: int,
    *,
    run: str,
    durable: bool = False,
    concurrency: int = 16,
) -> Iterator[RolloutRecord]:
    """Play rows as a job on the local stack, which keeps everything.

    Args:
        run: begins each trajectory id. Playing the same run again plays nothing twice: what has ended
            is answered again, what has not is waited for.
        durable: accept each with ``Prefer: respond-async`` and wait until it has ended.
    """
    client = RolloutClient(stack.url, durable=durable, wait_seconds=3_600, connections=concurrency)
    tasks = tasks_of(enumerate(rows), group_size, name=run)
    try:
        yield from play(LocalJob(stack, client, keep=True), tasks, concurrency=concurrency)
    finally:
        client.close()


def statistics_of(played: Sequence[RolloutRecord]) -> dict[str, Any]:
    """Reward statistics over all rollouts and over their groups."""
    rewards = [row.reward for row in played if row.reward is not None]
    groups: dict[int, list[float]] = defaultdict(list)
    for row in played:
        if row.reward is not None:
            groups[row.group].append(row.reward)
    flat = sum(all_same(values) for values in groups.values() if len(values) > 1)
    return {
        "rollouts": len(played),
        "failed": len(played) - len(rewards),
        "mean_reward": statistics.fmean(rewards) if rewards else None,
        "reward_stdev": statistics.pstdev(rewards) if rewards else None,
        "groups": len(groups),
        "groups_without_spread": flat,
        "mean_turns": statistics.fmean([r.turns_answered for r in played]) if played else 0,
        "median_seconds": statistics.median([r.seconds for r in played]) if played else 0,
    }
