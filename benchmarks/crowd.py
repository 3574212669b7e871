"""Fills a table with a job of many rollouts, straight in its memory: rows and totals agree."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

from rollout.storage import keys
from rollout.storage.record import iso
from rollout.storage.totals import Totals, is_flat, width_at

# 24 November 2026, 00:00 UTC.
BEGAN = 1_795_478_400.0


Item = dict[str, dict[str, Any]]


def fill(put: Callable[[Item], object], job: str, rollouts: int, *, apart: float = 0.5) -> Totals:
    """Put a job's rollouts into a table.

    Args:
        put: takes an item as the wire has it.
        apart: seconds between two rollouts.

    Returns:
        The job's totals as they are kept.
    """
    dice = random.Random(rollouts)  # noqa: S311 - the same crowd every time
    whole: dict[str, Any] = {"start": BEGAN}
    buckets: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}
    for number in range(rollouts):
        at = BEGAN + number * apart
        row = _row(job, number, at, dice)
        _put(put, row)
        width = width_at(number * apart)
        start = int(at // width) * width
        bucket = buckets.setdefault(keys.moment(start, width), {"start": start, "width": width})
        group = groups.setdefault(row["group"], {"start": int(at)})
        for totals in (whole, bucket, group):
            _count(totals, row)
    sums = ("rewarded", "reward_sum", "reward_squares")
    several = [g for g in groups.values() if g.get("rewarded", 0) > 1]
    whole["groups"] = len(several)
    whole["flat"] = sum(is_flat(*(g[name] for name in sums)) for g in several)
    # Which bucket tells of a group does not matter to their sum.
    last = next(reversed(buckets.values()))
    last |= {"groups": whole["groups"], "flat": whole["flat"]}
    _put(put, {"pk": keys.JOBS, "sk": job, "start": BEGAN})
    for sk, bucket in buckets.items():
        _put(put, {"pk": keys.totals(job, 0), "sk": sk, **bucket})
    for sk, group in groups.items():
        _put(put, {"pk": keys.groups(job, sk), "sk": sk, **group})
    return Totals.of({**whole, "in_flight": 0})


def _row(job: str, number: int, at: float, dice: random.Random) -> dict[str, Any]:
    trajectory_id = f"trajectory-{number:07d}"
    group = hashlib.sha256(str(number // 8).encode()).hexdigest()[:16]
    failed = dice.random() < 0.02
    return {
        "pk": keys.rollout(job, trajectory_id),
        "sk": keys.ROLLOUT,
        "job_arn": job,
        "trajectory_id": trajectory_id,
        "state": "failed" if failed else "ready",
        **({"boundary": "policy"} if failed else {"reward": repr(float(dice.random() < 0.6))}),
        "turns": dice.randint(1, 9),
        "seconds": round(dice.uniform(1, 60), 3),
        "group": group,
        "agent": "environments.calculator:calculator",
        "fingerprint": "f" * 64,
        "attempt": 1,
        "sampling": True,
        "lease_until": at + 60,
        "accepted_at": iso(at),
        "ended_at": iso(at + 30),
        "job_shard": keys.job_shard(job, keys.shard_of(trajectory_id)),
        "group_key": keys.group(job, group),
        "entry_point": "job",
        "endpoint": "https://job-runtime.sagemaker.us-west-2.api.aws",
        "region": "us-west-2",
    }


def _count(totals: dict[str, Any], row: dict[str, Any]) -> None:
    micro = round(float(row.get("reward", 0)) * 1_000_000)
    rewarded = int("reward" in row)
    added = {
        "ended": 1,
        "failed": 1 - rewarded,
        "rewarded": rewarded,
        "passed": int(micro >= 1_000_000),
        "reward_sum": micro,
        "reward_squares": micro * micro,
        "turns": row["turns"],
        "milliseconds": round(row["seconds"] * 1000),
        "fault_policy": 1 - rewarded,
    }
    for name, value in added.items():
        totals[name] = totals.get(name, 0) + value


def _put(put: Callable[[Item], object], row: dict[str, Any]) -> None:
    put(
        {
            name: {"BOOL": value}
            if isinstance(value, bool)
            else {"S": value}
            if isinstance(value, str)
            else {"N": repr(value)}
            for name, value in row.items()
        }
    )
