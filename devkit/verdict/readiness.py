"""Judge a run: will its reward teach anything, and does the environment hold?"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from devkit.rehearsal.counts import Group, RunCounts, count_rollouts
from devkit.rehearsal.run_files import Manifest, read_manifest, read_rollouts
from devkit.verdict.estimates import intervals, pass_at_k, pass_hat_k
from devkit.verdict.findings import find
from devkit.verdict.load import load_of
from devkit.verdict.model import (
    Criterion,
    Estimate,
    Failure,
    Finding,
    Level,
    Numbers,
    Passes,
    Spread,
    Verdict,
)
from rollout.rewards import all_same

# Columns of the estimates; pass@k and pass^k follow for each k.
_FLAT, _REWARD, _PASSES = range(3)


def judge(
    run: Path,
    *,
    batch_size: int = 128,
    group_size: int | None = None,
    concurrency: int = 96,
    jobs: int = 1,
    pass_at: float = 1.0,
    seed: int = 0,
) -> Verdict:
    """Judge a run on disk, reading it once, rollout by rollout.

    Args:
        run: the run's directory.
        batch_size: problems of a training step.
        group_size: rollouts of each; the run's own if None.
        concurrency: the job's ``rollout_max_concurrency``.
        jobs: that train at once on the stack.
        pass_at: reward from which on a rollout has passed.
        seed: of the confidence intervals.

    Raises:
        ValueError: the directory holds no run, or a line of it cannot be read.
    """
    manifest = read_manifest(run)
    counted = count_rollouts(read_rollouts(run), pass_at)
    return verdict_of(
        counted,
        manifest,
        run=run,
        batch_size=batch_size,
        group_size=group_size,
        concurrency=concurrency,
        jobs=jobs,
        seed=seed,
    )


def verdict_of(
    counted: RunCounts,
    manifest: Manifest,
    *,
    run: Path,
    batch_size: int = 128,
    group_size: int | None = None,
    concurrency: int = 96,
    jobs: int = 1,
    seed: int = 0,
) -> Verdict:
    """The verdict on what was counted; arguments as for :func:`judge`."""
    numbers = numbers_of(counted, manifest, seed)
    findings = find(numbers, manifest)
    return Verdict(
        run=str(run),
        agent=manifest.agent,
        policy=manifest.policy,
        level=_level(findings),
        findings=findings,
        numbers=numbers,
        load=load_of(
            numbers,
            manifest,
            batch_size=batch_size,
            group_size=group_size,
            concurrency=concurrency,
            jobs=jobs,
        ),
    )


def _level(findings: Sequence[Finding]) -> Level:
    found = {finding.severity for finding in findings}
    if "not ready" in found:
        return "not ready"
    return "doubtful" if "doubtful" in found else "ready"


def numbers_of(counted: RunCounts, manifest: Manifest, seed: int = 0) -> Numbers:
    """The figures of a run."""
    groups = [counted.groups[number] for number in sorted(counted.groups)]
    ks = _ks(max((group.played for group in groups), default=0))
    estimates = _estimates(groups, ks, seed)
    rewards = counted.rewards
    within = [group.deviation for group in groups if group.comparable]
    return Numbers(
        rollouts=counted.rollouts,
        expected=manifest.rows * manifest.group_size,
        failed=sum(counted.failures.values()),
        failures=[
            Failure(boundary=boundary, title=title, rollouts=count)
            for (boundary, title), count in counted.failures.most_common()
        ],
        groups=len(groups),
        groups_compared=len(within),
        groups_without_spread=estimates[_FLAT],
        reward=estimates[_REWARD],
        reward_deviation=float(np.std(rewards)) if rewards else None,
        reward_deviation_within_groups=float(np.mean(within)) if within else None,
        reward_lowest=min(rewards, default=None),
        reward_highest=max(rewards, default=None),
        criteria={name: _criterion(values) for name, values in sorted(counted.criteria.items())},
        pass_mark=counted.pass_at,
        passes=[
            Passes(
                k=k,
                groups=sum(group.played >= k for group in groups),
                pass_at_k=estimates[_PASSES + 2 * place],
                pass_hat_k=estimates[_PASSES + 1 + 2 * place],
            )
            for place, k in enumerate(ks)
        ],
        turns=_spread(counted.turns),
        completion_tokens=_spread(counted.completion_tokens),
        prompt_tokens=_spread(counted.prompt_tokens),
        seconds=_spread(counted.seconds),
        rollout_timeout=manifest.rollout_timeout,
        turn_seconds=_spread(counted.turn_seconds),
        tool_calls=counted.tool_calls,
        most_tool_calls=counted.most_tool_calls,
        tool_errors=counted.tool_errors,
        truncated=counted.truncated,
        text_tool_calls=counted.text_tool_calls,
        unsampled=counted.unsampled,
        miscounted=counted.miscounted,
        unrewarded=counted.unrewarded if counted.reported else None,
        without_usage=counted.without_usage,
    )


def _ks(largest: int) -> list[int]:
    """1, 2, 4, 8 … and the largest group's size."""
    powers = [1 << power for power in range(largest.bit_length()) if 1 << power <= largest]
    return sorted({*powers, largest} - {0})


def _estimates(groups: Sequence[Group], ks: Sequence[int], seed: int) -> list[Estimate]:
    """Share of flat groups, mean reward, then pass@k and pass^k for each k.

    A failed rollout counts as one that did not pass; it has no reward, so it is not in the mean.
    """
    columns = _PASSES + 2 * len(ks)
    totals, weights = np.zeros((len(groups), columns)), np.zeros((len(groups), columns))
    for row, group in enumerate(groups):
        totals[row, :2] = group.flat, sum(group.rewards)
        weights[row, :2] = group.comparable, len(group.rewards)
        for place, k in enumerate(ks):
            if group.played >= k:
                column = _PASSES + 2 * place
                totals[row, column] = pass_at_k(group.played, group.passed, k)
                totals[row, column + 1] = pass_hat_k(group.played, group.passed, k)
                weights[row, column : column + 2] = 1
    shares = [column != _REWARD for column in range(columns)]
    bounds = intervals(totals, weights, shares=shares, seed=seed)
    found: list[Estimate] = []
    for column in range(columns):
        weight = weights[:, column].sum()
        if not weight:
            found.append(Estimate(value=None, low=None, high=None))
            continue
        low, high = (float(bound) for bound in bounds[column])
        found.append(Estimate(value=float(totals[:, column].sum() / weight), low=low, high=high))
    return found


def _criterion(values: array[float]) -> Criterion:
    return Criterion(
        rollouts=len(values),
        mean=float(np.mean(values)),
        lowest=min(values),
        highest=max(values),
        flat=all_same(values),
    )


def _spread(values: array[float]) -> Spread | None:
    if not values:
        return None
    median, p95 = (float(q) for q in np.quantile(values, [0.5, 0.95]))
    return Spread(mean=float(np.mean(values)), median=median, p95=p95, max=max(values))
