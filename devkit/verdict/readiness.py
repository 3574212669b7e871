"""Judge a run: will its reward teach anything, and does the environment hold?"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from devkit.rehearsal.counts import Group, RunCounts, count_rollouts
from devkit.rehearsal.run_files import Manifest, read_manifest, read_rollouts
from devkit.verdict.estimates import Floats, interval, pass_at_k, pass_hat_k
from devkit.verdict.faults import faults_of
from devkit.verdict.findings import find, in_order
from devkit.verdict.job import PLATFORM, Job
from devkit.verdict.learning import forecast
from devkit.verdict.load import is_script, load_of
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


def judge(run: Path, job: Job = PLATFORM, *, pass_at: float = 1.0, seed: int = 0) -> Verdict:
    """Judge a run on disk, reading it once, rollout by rollout.

    Args:
        run: the run's directory.
        job: what is to be trained.
        pass_at: reward from which on a rollout has passed.
        seed: of what is drawn for the forecast.

    Raises:
        ValueError: the directory holds no run, or a line of it cannot be read.
    """
    manifest = read_manifest(run)
    counted = count_rollouts(read_rollouts(run), pass_at)
    return verdict_of(counted, manifest, job, run=run, seed=seed)


def verdict_of(
    counted: RunCounts, manifest: Manifest, job: Job = PLATFORM, *, run: Path, seed: int = 0
) -> Verdict:
    """The verdict on what was counted; arguments as for :func:`judge`."""
    numbers = numbers_of(counted, manifest)
    load = load_of(
        numbers,
        manifest,
        batch_size=job.batch_size,
        group_size=job.group_size,
        concurrency=job.concurrency,
        jobs=job.jobs,
        latency=job.latency,
    )
    learning = (
        None
        if is_script(manifest)
        else forecast(
            [counted.groups[number].rewards for number in sorted(counted.groups)],
            batch_size=job.batch_size,
            group_size=job.group_size,
            max_steps=job.max_steps,
            pass_at=counted.pass_at,
            rate=job.rate,
            seed=seed,
        )
    )
    findings = in_order([*find(numbers, manifest, learning, load), *faults_of(run)])
    return Verdict(
        run=str(run),
        agent=manifest.agent,
        policy=manifest.policy,
        level=_level(findings, script=is_script(manifest)),
        findings=findings,
        numbers=numbers,
        learning=learning,
        load=load,
    )


def _level(findings: Sequence[Finding], *, script: bool) -> Level:
    found = {finding.severity for finding in findings}
    grave: tuple[Level, ...] = ("not ready", "too few to tell", "doubtful", "costly")
    for level in grave:
        if level in found:
            return level
    return "plumbing holds" if script else "ready"


def numbers_of(counted: RunCounts, manifest: Manifest) -> Numbers:
    """The figures of a run."""
    groups = [counted.groups[number] for number in sorted(counted.groups)]
    ks = _ks(max((group.played for group in groups), default=0))
    estimates = _estimates(groups, ks, counted.pass_at)
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
        policy_seconds=_spread(counted.policy_seconds),
        reply_bytes=counted.reply_bytes / turns if (turns := sum(counted.turns)) else None,
        request_bytes=counted.request_bytes / counted.rollouts if counted.rollouts else None,
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


def _estimates(groups: Sequence[Group], ks: Sequence[int], pass_at: float) -> list[Estimate]:
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
    rewards = [reward for group in groups for reward in group.rewards]
    played = sum(group.played for group in groups)
    found = [
        _estimate(totals[:, _FLAT], weights[:, _FLAT], 0.0, 1.0, len(groups)),
        _estimate(
            totals[:, _REWARD],
            weights[:, _REWARD],
            min([0.0, *rewards]),
            max([pass_at, *rewards]),
            len(rewards),
        ),
    ]
    # A problem's k rollouts are one trial; whether they pass is no finer than that.
    found += [
        _estimate(totals[:, column], weights[:, column], 0.0, 1.0, played / k)
        for place, k in enumerate(ks)
        for column in (_PASSES + 2 * place, _PASSES + 1 + 2 * place)
    ]
    return found


def _criterion(values: array[float]) -> Criterion:
    return Criterion(
        rollouts=len(values),
        mean=float(np.mean(values)),
        lowest=min(values),
        highest=max(values),
        flat=all_same(values),
    )


def _estimate(totals: Floats, weights: Floats, low: float, high: float, trials: float) -> Estimate:
    bounds = interval(totals, weights, low=low, high=high, trials=trials)
    if bounds is None:
        return Estimate(value=None, low=None, high=None)
    value = float(totals.sum() / weights.sum())
    return Estimate(value=value, low=min(bounds[0], value), high=max(bounds[1], value))


def _spread(values: array[float]) -> Spread | None:
    if not values:
        return None
    median, p95 = (float(q) for q in np.quantile(values, [0.5, 0.95]))
    return Spread(mean=float(np.mean(values)), median=median, p95=p95, max=max(values))
