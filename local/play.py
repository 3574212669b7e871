"""Plays groups of rollouts through the real door, as a trainer would, and sums them up."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.stack import LocalStack
from rollout.job import instance_of

_OK, _ACCEPTED = 200, 202


@dataclass(frozen=True)
class PlayedRow:
    """One rollout as the trainer saw it; ``problem`` where the door answered with an error."""

    group: int
    trajectory_id: str
    http_status: int
    result: dict[str, Any]
    seconds: float

    @property
    def reward(self) -> float | None:
        """The reward, None where there is none."""
        return self.result.get("reward")


def read_rows(path: Path, limit: int) -> list[dict[str, Any]]:
    """The first rows of a JSONL dataset as instances.

    A row with a ``prompt`` column becomes what a job would make of it; any other row, GSM8K's as
    published for example, is the instance itself.

    Raises:
        ValueError: naming the line that is not a JSON object.
    """
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if len(rows) == limit:
                break
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{number} is not a JSON object")
            rows.append(instance_of(row["prompt"]) if "prompt" in row else row)
    return rows


def play_groups(
    stack: LocalStack,
    rows: Sequence[dict[str, Any]],
    group_size: int,
    *,
    run: str,
    durable: bool = False,
    concurrency: int = 16,
) -> Iterator[PlayedRow]:
    """Play every row as a group of rollouts; yields each as it ends.

    Args:
        run: begins each trajectory id. Playing the same run again plays nothing twice: what has ended
            is answered again, what has not is waited for.
        durable: accept each with ``Prefer: respond-async`` and wait until it has ended.
    """
    with (
        httpx.Client(timeout=60, limits=httpx.Limits(max_connections=concurrency)) as http,
        ThreadPoolExecutor(concurrency) as pool,
    ):

        def one(group: int, member: int, row: dict[str, Any]) -> PlayedRow:
            trajectory_id = f"{run}-{group:04d}-{member}"
            body = stack.request(trajectory_id, row)
            began = time.monotonic()
            headers = {"Prefer": "respond-async"} if durable else {}
            answer = http.post(f"{stack.url}/rollout", json=body, headers=headers)
            status, result = answer.status_code, answer.json()
            if status == _ACCEPTED:
                status, result = _wait(http, stack.url + answer.headers["location"])
            return PlayedRow(group, trajectory_id, status, result, time.monotonic() - began)

        waiting = [
            pool.submit(one, group, member, row)
            for group, row in enumerate(rows)
            for member in range(group_size)
        ]
        for done in as_completed(waiting):
            yield done.result()


def _wait(http: httpx.Client, url: str) -> tuple[int, dict[str, Any]]:
    """Ask for an accepted rollout's state until it has ended; its status and result."""
    pause = 0.05
    while True:
        answer = http.get(url)
        if answer.status_code != _OK or answer.json()["state"] in ("ready", "failed"):
            return answer.status_code, answer.json().get("result", answer.json())
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)


def statistics_of(played: Sequence[PlayedRow]) -> dict[str, Any]:
    """Reward statistics over all rollouts and over their groups."""
    rewards = [row.reward for row in played if row.reward is not None]
    groups: dict[int, list[float]] = defaultdict(list)
    for row in played:
        if row.reward is not None:
            groups[row.group].append(row.reward)
    flat = sum(len(set(values)) == 1 for values in groups.values() if len(values) > 1)
    return {
        "rollouts": len(played),
        "failed": len(played) - len(rewards),
        "mean_reward": statistics.fmean(rewards) if rewards else None,
        "reward_stdev": statistics.pstdev(rewards) if rewards else None,
        "groups": len(groups),
        "groups_without_spread": flat,
        "mean_turns": statistics.fmean([r.result.get("turns", 0) for r in played]) if played else 0,
        "median_seconds": statistics.median([r.seconds for r in played]) if played else 0,
    }
