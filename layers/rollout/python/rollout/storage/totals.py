"""Running totals of a job, so that a page about 100,000 rollouts reads a few hundred rows.

Each ended rollout is added to the row of the moment it ended in, its bucket, and to its group's. A job's
totals are the sum of its buckets; what is in flight is counted where the open rollouts are. Every number
is a whole one (rewards in millionths, time in milliseconds): sums of those are exact, so a group whose
rewards are all equal is told from one whose rewards nearly are.

No row is written by every rollout of a job: one row, and one partition, takes 1,000 writes a second. A
bucket that is throttled is continued in another partition, groups are spread over some by their key.

They are best effort. They are written after the record's own write held; an addition is repeated only
where it was throttled, for then it was certainly not made. A process that dies in between leaves one
rollout uncounted, and any other error is logged and passed over.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rollout.aws.table import Row, Table
from rollout.backoff import Backoff
from rollout.errors import StorageThrottled
from rollout.results import Result
from rollout.settings import Settings
from rollout.storage import keys

_MICRO = 1_000_000
# Decimals that count: rewards equal within 1e-9 are equal (rollout.rewards).
_DECIMALS = 9
# Squares of rewards up to this, in millionths, stay exact in DynamoDB's 38 digits; what is larger is
# counted as this.
_LARGEST = 1e9
# How finely results are told apart, by the job's age: (seconds old, width in seconds). Each width divides
# the next, and a job of any age has a few hundred rows.
_WIDTHS = ((120, 1), (1_200, 10), (7_200, 60), (86_400, 600), (1_209_600, 7_200))
_WIDEST = 86_400
# How often an addition is made that is throttled; each goes to another part of the totals. Seconds.
ATTEMPTS = 6
PAUSE = Backoff(first=0.05, longest=0.4)
# A job's row is written once by each process, and again after so long, for its retention. Seconds.
_LISTED_FOR = 3_600
# Jobs a process remembers to have listed.
_MOST_LISTED = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted: over a whole job, or over the rollouts that ended within ``width`` seconds.

    Args:
        start: epoch seconds: the first rollout of the job, or the begin of the bucket.
        width: seconds of the bucket; 0 for a whole job.
        in_flight: accepted and not ended; known of a whole job only.
        ended: with the trainer, ready or failed.
        rewarded: ended with a reward.
        passed: of these, with at least ``ROLLOUT_PASS_REWARD``.
        groups: how many more groups have at least two rewards; of a whole job: how many have.
        flat: of these, with all rewards equal: such a group teaches nothing.
        faults: failures by the boundary at fault, those completed with a floor included.
    """

    start: float
    width: int
    in_flight: int
    ended: int
    failed: int
    rewarded: int
    passed: int
    reward_sum: int
    reward_squares: int
    turns: int
    milliseconds: int
    tokens: int
    groups: int
    flat: int
    faults: dict[str, int]

    @classmethod
    def of(cls, row: Row) -> Totals:
        """The totals a row holds; what it does not name is nought."""
        names = [name for name in cls.__slots__ if name not in ("start", "width", "faults")]
        counted: dict[str, Any] = {name: int(row.get(name, 0)) for name in names}
        faults = {k.removeprefix("fault_"): int(v) for k, v in row.items() if k[:6] == "fault_"}
        start, width = float(row.get("start", 0)), int(row.get("width", 0))
        return cls(
            start=start, width=width, faults={k: v for k, v in faults.items() if v}, **counted
        )

    @property
    def rollouts(self) -> int:
        """Rollouts accepted."""
        return self.ended + self.in_flight

    @property
    def mean_reward(self) -> float | None:
        """None where nothing was rewarded."""
        return self.reward_sum / self.rewarded / _MICRO if self.rewarded else None

    @property
    def reward_spread(self) -> float | None:
        """Standard deviation of the rewards."""
        if not self.rewarded:
            return None
        n = self.rewarded
        return math.sqrt(max(0, n * self.reward_squares - self.reward_sum**2)) / n / _MICRO

    def share(self, part: int, of: int) -> float | None:
        """A part of a whole; None where there is no whole."""
        return part / of if of else None


class TotalsWriter:
    """Keeps count.

    Args:
        settings: table, retention, and from which reward on a rollout passed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = Table(settings)
        # Jobs this process has listed: when each began, and until when its row need not be written.
        self._listed: dict[str, tuple[float, float]] = {}

    def accepted(self, job_arn: str) -> None:
        """List the job of a rollout that was accepted."""
        with _best_effort():
            self._began(keys.job_of(job_arn))

    def ended(self, job_arn: str, group: str, result: Result, *, fault: str | None) -> None:
        """Count a rollout that is terminal.

        Args:
            group: the rollout's.
            result: how it ended; ``failed`` too where the trainer refused its reward.
            fault: the boundary at fault, if one was.
        """
        job = keys.job_of(job_arn)
        with _best_effort():
            amounts = self._amounts(result, fault)
            spread = self._group(job, group, amounts) if amounts["rewarded"] else {}
            self._bucket(job, time.time(), {**amounts, **spread})

    def reopened(self, job_arn: str, result: Result, *, fault: str | None, ended_at: float) -> None:
        """Take back a rollout that had failed before any turn and is played again.

        Args:
            ended_at: when it failed, epoch seconds: it is taken out of the bucket it was counted in.
        """
        with _best_effort():
            amounts = self._amounts(result, fault)
            job = keys.job_of(job_arn)
            self._bucket(job, ended_at, {name: -value for name, value in amounts.items()})

    def _amounts(self, result: Result, fault: str | None) -> dict[str, int]:
        reward = result.reward if result.status == "ready" else None
        # Rewards that differ only by rounding are equal; two of them must not fall on two millionths.
        known = round(max(-_LARGEST, min(_LARGEST, reward or 0.0)), _DECIMALS)
        micro = round(known * _MICRO)
        passed = reward is not None and reward >= self._settings.storage.pass_reward
        return {
            "ended": 1,
            "failed": int(result.status == "failed"),
            "rewarded": int(reward is not None),
            "passed": int(passed),
            "reward_sum": micro,
            "reward_squares": micro * micro,
            "turns": result.turns,
            "milliseconds": round(result.seconds * 1000),
            "tokens": sum(result.usage.values()),
            **({f"fault_{fault}": 1} if fault else {}),
        }

    def _group(self, job: str, group: str, amounts: Mapping[str, int]) -> dict[str, int]:
        """Add to a group; how that changes the number of groups and of flat ones.

        The row's update is atomic, so each change is seen by exactly one rollout.
        """
        names = ("rewarded", "reward_sum", "reward_squares")
        sums = {name: amounts[name] for name in names}
        row = self._add([keys.groups(job, group)] * ATTEMPTS, group, sums, {}, int(time.time()))
        after = [int(row.get(name, 0)) for name in names]
        before = [total - sums[name] for total, name in zip(after, names, strict=True)]
        return {
            "groups": int(after[0] == 2),
            "flat": int(is_flat(*after)) - int(is_flat(*before)),
        }

    def _bucket(self, job: str, when: float, amounts: Mapping[str, int]) -> None:
        """Add to the bucket of a moment."""
        width = width_at(when - self._began(job))
        start = int(when // width) * width
        # The first part is the only one that a job writes to, until it writes too much.
        others = random.sample(range(1, keys.PARTS), keys.PARTS - 1)  # nosec B311 - spreads writes
        parts = [keys.totals(job, part) for part in [0, *others] * ATTEMPTS][:ATTEMPTS]
        self._add(parts, keys.moment(start, width), amounts, {"width": width}, start)

    def _began(self, job: str) -> float:
        """When a job began, epoch seconds; the first time the job is listed."""
        now = time.time()
        start, until = self._listed.get(job, (0.0, 0.0))
        if now < until:
            return start
        start = float(self._add([keys.JOBS] * ATTEMPTS, job, {}, {}, now)["start"])
        if len(self._listed) >= _MOST_LISTED:
            self._listed.clear()
        self._listed[job] = (start, now + _LISTED_FOR)
        return start

    def _add(
        self, pks: Sequence[str], sk: str, amounts: Mapping[str, int], sets: Row, start: float
    ) -> Row:
        """Add to a row of the first of these partitions that is not throttled."""
        expires = int(time.time()) + self._settings.storage.retention_days * 86_400
        changed = {name: amount for name, amount in amounts.items() if amount}
        sets, first = {**sets, "expires_at": expires}, {"start": start}
        for attempt, pk in enumerate(pks[:-1], 1):
            try:
                return self._table.add(pk, sk, changed, sets=sets, first=first)
            except StorageThrottled:
                time.sleep(PAUSE.pause(attempt))
        return self._table.add(pks[-1], sk, changed, sets=sets, first=first)


@contextmanager
def _best_effort() -> Generator[None]:
    """Whatever goes wrong in here, the rollout it was about goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a figure that is off by one is better than a lost rollout
        _log.warning("totals were not written: %s", type(error).__name__)


def added(sums: Row, bucket: Row) -> dict[str, Any]:
    """Sums of a bucket's numbers with those that are known; what is told of a moment stays."""
    told = ("pk", "sk", "start", "width", "expires_at")
    more = {k: sums.get(k, 0) + v for k, v in bucket.items() if k not in told}
    return {**sums, **more}


def is_flat(count: int, total: int, squares: int) -> bool:
    """Whether a group's rewards, at least two, are all equal; sums of whole numbers are exact."""
    return count > 1 and count * squares == total * total


def width_at(age: float) -> int:
    """The width in seconds of the buckets that a job of this age ends its rollouts in."""
    return next((width for until, width in _WIDTHS if age < until), _WIDEST)
