"""What is exported, under one set of names for a rehearsal and for a job.

=========================  ==============================================================
name                       is
=========================  ==============================================================
``reward/mean``            of the rollouts that have one
``reward/deviation``       standard deviation of them
``passed``                 share of the rewarded that reach the pass mark
``groups/flat``            share of the groups whose rewards are all equal
``turns/mean``             of a rollout
``seconds/mean``           of a rollout
``tokens/mean``            read and sampled, of a rollout
``failed/all``             share of the rollouts
``failed/BOUNDARY``        the same, by who was at fault
``rollouts``               that ended
``criteria/NAME``          mean value of a rubric's criterion; a rehearsal only
``metrics/NAME``           mean of a metric of the agent's; a rehearsal only
=========================  ==============================================================
"""

from __future__ import annotations

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from devkit.rehearsal.counts import count_rollouts
from devkit.rehearsal.run_files import Manifest, RolloutRecord, read_manifest, read_rollouts
from rollout.rubric import criteria_of
from rollout.storage.totals import Totals


@dataclass(frozen=True, slots=True)
class Point:
    """Figures of one step.

    Args:
        time: epoch seconds.
    """

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is written.

    Args:
        name: of the run or job.
        kind: ``rehearsal`` or ``job``.
        about: what was played, as text by name.
        points: in order.
        spreads: all values of some quantities, for histograms; a rehearsal only.
    """

    name: str
    kind: str
    about: dict[str, str]
    points: list[Point]
    spreads: dict[str, array[float]] = field(default_factory=dict[str, "array[float]"])


def figures_of_run(run: Path, *, step: int = 0, pass_at: float = 1.0) -> Figures:
    """The figures of a rehearsal: one point.

    Args:
        step: of the policy that was rehearsed; several runs in one place make a curve.
        pass_at: reward from which on a rollout has passed.

    Raises:
        ValueError: the directory holds no run, or no rollout.
    """
    manifest = read_manifest(run)
    counted = count_rollouts(read_rollouts(run), pass_at)
    if not counted.rollouts:
        raise ValueError(f"{run} holds no rollouts")
    groups = [group for group in counted.groups.values() if group.comparable]
    passed = sum(group.passed for group in counted.groups.values())
    faults = Counter[str]()
    for (boundary, _), count in counted.failures.items():
        faults[boundary] += count
    values = _values(
        ended=counted.rollouts,
        rewards=(
            _mean(counted.rewards),
            float(np.std(counted.rewards)) if counted.rewards else None,
        ),
        passed=_share(passed, len(counted.rewards)),
        flat=_share(sum(group.flat for group in groups), len(groups)),
        means=(
            _mean(counted.turns),
            _mean(counted.seconds),
            _mean(
                [
                    a + b
                    for a, b in zip(counted.prompt_tokens, counted.completion_tokens, strict=True)
                ]
            ),
        ),
        failed=sum(counted.failures.values()),
        faults=faults,
    )
    values |= _means(read_rollouts(run))
    began = datetime.fromisoformat(manifest.started_at).timestamp()
    spreads = {
        "reward": counted.rewards, "turns": counted.turns, "seconds": counted.seconds,
        "tokens": counted.completion_tokens,
    }  # fmt: skip
    kept = {name: spread for name, spread in spreads.items() if spread}
    return Figures(manifest.name, "rehearsal", _about(manifest), [Point(step, began, values)], kept)


def figures_of_job(job: str, series: Iterable[Totals]) -> Figures:
    """The figures of a job over time: a point for each bucket that the console draws.

    Args:
        job: its ARN.
        series: of ``Archive.series``.

    Raises:
        ValueError: no rollout of it has ended.
    """
    points = [
        Point(number, bucket.start, _of_bucket(bucket))
        for number, bucket in enumerate(series)
        if bucket.ended
    ]
    if not points:
        raise ValueError(f"no rollout of {job} has ended")
    about = {"job": job, "exported": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"}
    return Figures(job.rpartition("/")[2], "job", about, points)


def _of_bucket(bucket: Totals) -> dict[str, float]:
    return _values(
        ended=bucket.ended,
        rewards=(bucket.mean_reward, bucket.reward_spread),
        passed=_share(bucket.passed, bucket.rewarded),
        flat=_share(bucket.flat, bucket.groups),
        means=(
            bucket.turns / bucket.ended,
            bucket.milliseconds / bucket.ended / 1_000,
            bucket.tokens / bucket.ended,
        ),
        failed=bucket.failed,
        faults=Counter(bucket.faults),
    )


def _values(
    *,
    ended: int,
    rewards: tuple[float | None, float | None],
    passed: float | None,
    flat: float | None,
    means: tuple[float | None, float | None, float | None],
    failed: int,
    faults: Counter[str],
) -> dict[str, float]:
    """The names of the module's table; what is not known is left out."""
    found: dict[str, float | None] = {
        "reward/mean": rewards[0],
        "reward/deviation": rewards[1],
        "passed": passed,
        "groups/flat": flat,
        "turns/mean": means[0],
        "seconds/mean": means[1],
        "tokens/mean": means[2],
        "failed/all": failed / ended,
        **{f"failed/{boundary}": count / ended for boundary, count in sorted(faults.items())},
        "rollouts": ended,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _means(records: Iterable[RolloutRecord]) -> dict[str, float]:
    """Means of criteria and of the agent's metrics, over the rollouts that have them."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for record in records:
        criteria = criteria_of(record.metrics)
        others = {k: v for k, v in record.metrics.items() if not k.startswith("rubric/")}
        for kind, metrics in (("criteria", criteria), ("metrics", others)):
            for name, value in metrics.items():
                entry = sums[f"{kind}/{name}"]
                entry[0] += value
                entry[1] += 1
    return {name: total / count for name, (total, count) in sorted(sums.items())}


def _about(manifest: Manifest) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in manifest.model_dump(by_alias=True, mode="json").items()
        if value not in (None, "")
    }


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(np.mean(known)) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
