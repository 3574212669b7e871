"""How often a 95 % interval holds the truth, for what a verdict estimates."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.worlds import Floats
from devkit.rehearsal.counts import Group, RunCounts
from devkit.verdict.readiness import numbers_of
from tests.rehearsed import manifest

ESTIMATES = ("mean reward", "pass@1", "pass@4", "pass^4", "groups without spread")
# Rollouts by which the truth of an estimate is counted.
_LARGE = 400_000


@dataclass(frozen=True)
class Difficulty:
    """How hard problems are: the chance to solve one is Beta(a, b); the rest earns something or nothing.

    Args:
        partial: the most that a rollout earns which does not pass, evenly from nothing.
    """

    name: str
    a: float
    b: float
    partial: float = 0.0


DIFFICULTIES = (
    Difficulty("any", 1, 1),
    Difficulty("hard: 10 %", 0.5, 4.5),
    Difficulty("always or never", 0.2, 0.2),
    Difficulty("alike: 40 %", 40, 60),
    Difficulty("rare: 2 %", 0.4, 19.6),
    Difficulty("graded", 0.5, 4.5, 0.5),
)


def played(difficulty: Difficulty, groups: int, size: int, dice: np.random.Generator) -> Floats:
    """The rewards of a rehearsal, a row a group."""
    chances = dice.beta(difficulty.a, difficulty.b, (groups, 1))
    partial = dice.random((groups, size)) * difficulty.partial
    return np.where(dice.random((groups, size)) < chances, 1.0, partial)


def counts_of(groups: Sequence[Floats]) -> RunCounts:
    """A run's counts, of rewards alone."""
    counted = RunCounts()
    for number, rewards in enumerate(groups):
        passed = int((rewards >= counted.pass_at).sum())
        counted.groups[number] = Group(len(rewards), passed, array("d", rewards))
        counted.rewards.extend(rewards)
        counted.rollouts += len(rewards)
    return counted


def coverage(
    difficulty: Difficulty, groups: int, size: int, *, repeats: int, seed: int = 0
) -> dict[str, float]:
    """The share of rehearsals whose interval holds the truth, by estimate."""
    dice = np.random.default_rng(seed)
    many = played(difficulty, _LARGE // size, size, dice)
    chances = dice.beta(difficulty.a, difficulty.b, _LARGE)
    truth = {
        "mean reward": float((chances + (1 - chances) * difficulty.partial / 2).mean()),
        "pass@1": float(chances.mean()),
        "pass@4": float((1 - (1 - chances) ** 4).mean()),
        "pass^4": float((chances**4).mean()),
        "groups without spread": float((many.max(axis=1) - many.min(axis=1) < 1e-9).mean()),
    }
    held = dict.fromkeys(ESTIMATES, 0)
    for _ in range(repeats):
        numbers = numbers_of(
            counts_of(list(played(difficulty, groups, size, dice))), manifest(group_size=size)
        )
        at = {passes.k: passes for passes in numbers.passes}
        found = {
            "mean reward": numbers.reward,
            "pass@1": at[1].pass_at_k,
            "pass@4": at[4].pass_at_k,
            "pass^4": at[4].pass_hat_k,
            "groups without spread": numbers.groups_without_spread,
        }
        for name, estimate in found.items():
            low, high = estimate.low, estimate.high
            held[name] += low is not None and high is not None and low <= truth[name] <= high
    return {name: count / repeats for name, count in held.items()}
