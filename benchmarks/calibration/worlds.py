"""Environments whose true success is known, to rehearse and to train on without playing a turn.

A world has problems of several levels, and a policy a behaviour for each: one that solves what is not
above its level, and one that solves nothing. With one level this is a coin; with more, some problems are
never solved at first and others always, and training moves from one to the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devkit.emulator.job_runtime import SampleRequest
from devkit.training.grpo import SoftmaxPolicy, advantages

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """One environment and the policy it begins with.

    Args:
        success: of the policy at first.
        levels: of problems, each as frequent as the others.
        grades: what a rollout that solves nothing may earn, evenly; (0,) where reward is success.
    """

    success: float
    levels: int = 1
    grades: tuple[float, ...] = (0.0,)

    def shares(self) -> dict[str, float]:
        """How often each behaviour is played at first: a behaviour of level n solves n/levels."""
        each = self.success * 2 / (self.levels + 1)
        shares = {f"level {n}": each for n in range(1, self.levels + 1)}
        return {"none": 1.0 - sum(shares.values()), **shares}

    def solved(self, behaviour: str, level: int) -> bool:
        """Whether a behaviour solves a problem of a level."""
        return behaviour != "none" and int(behaviour.split()[1]) >= level

    def reward(self, solved: NDArray[np.bool_], dice: np.random.Generator) -> Floats:
        """The rewards of rollouts."""
        return np.where(solved, 1.0, dice.choice(self.grades, solved.shape))

    def rehearse(self, groups: int, size: int, dice: np.random.Generator) -> list[Floats]:
        """The rewards of a rehearsal, a group a problem."""
        shares = self.shares()
        levels = dice.integers(1, self.levels + 1, groups)
        table = np.array(
            [[self.solved(name, n + 1) for n in range(self.levels)] for name in shares]
        )
        drawn = dice.choice(len(shares), (groups, size), p=list(shares.values()))
        solved = table[drawn, levels[:, None] - 1]
        return list(self.reward(solved, dice))


def _unplayed(asked: SampleRequest) -> Any:
    raise AssertionError(asked.trajectory_id)


def train(
    world: World, *, steps: int, batch_size: int, group_size: int, rate: float, seed: int
) -> list[float]:
    """Train the devkit's own softmax policy; success before each step and after the last.

    Args:
        rate: log-odds a step and unit of signal between a behaviour and the rest; the policy moves
            both ends, so its own rate is half of that.
    """
    dice = np.random.default_rng(seed)
    policy = SoftmaxPolicy(
        dict.fromkeys(world.shares(), _unplayed), shares=world.shares(), rate=rate / 2, seed=seed
    )
    course = [success_of(world, policy)]
    for _ in range(steps):
        gained = []
        for place in range(batch_size):
            level = int(dice.integers(1, world.levels + 1))
            names = [f"{place}/{member}" for member in range(group_size)]
            solved = np.array([world.solved(policy.drawn(name), level) for name in names])
            rewards = world.reward(solved, dice)
            gained += advantages(dict(zip(names, map(float, rewards), strict=True)))
        policy.learn(gained)
        course.append(success_of(world, policy))
    return course


def success_of(world: World, policy: SoftmaxPolicy) -> float:
    """The true success of a policy."""
    shares = policy.describe()
    levels = range(1, world.levels + 1)
    return float(
        np.mean([sum(shares[b] * world.solved(b, level) for b in shares) for level in levels])
    )


def steps_until(course: Sequence[float], success: float) -> float | None:
    """The step at which a course first has a success, between two steps where it lies between."""
    for step, (before, after) in enumerate(itertools.pairwise(course)):
        if after >= success:
            return step + (success - before) / (after - before) if after > before else float(step)
    return None
