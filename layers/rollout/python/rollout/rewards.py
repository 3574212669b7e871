"""The rewards a trajectory is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollout.errors import RewardError
from rollout.settings import RewardShape


def shape_rewards(
    reward: float | Sequence[float], turns: int, shape: RewardShape, name: str
) -> list[float]:
    """The list UpdateReward is sent.

    Args:
        reward: one number, or one per turn.
        turns: captured turns.
        shape: how one number is spread over several turns. The service documents one reward per
            turn, a single value is widely used; hence the setting. Whatever the shape, the sum is the
            agent's number: given to every turn in full, it would pay the slowest win the most.
        name: the agent's, for the message.

    Raises:
        RewardError: the list's length is not the number of turns, or the sum is not finite.
    """
    rewards = _spread(reward, turns, shape, name)
    if not math.isfinite(sum(rewards)):
        raise RewardError(f"Agent {name} returned rewards whose sum is not finite.")
    return rewards


def _spread(
    reward: float | Sequence[float], turns: int, shape: RewardShape, name: str
) -> list[float]:
    if isinstance(reward, (int, float)):
        if shape == "single":
            return [float(reward)]
        if shape == "every-turn":
            return [float(reward) / turns] * turns
        return [0.0] * (turns - 1) + [float(reward)]
    if len(reward) != turns:
        raise RewardError(
            f"Agent {name} returned {len(reward)} rewards for {turns} turns; "
            "return one per turn, or a single number."
        )
    return list(reward)


# Rewards this near to each other are equal: 0.1 + 0.5 is not 0.6 in binary, and that is no spread.
ROUNDING = 1e-9


def same_reward(left: float, right: float) -> bool:
    """Whether two rewards are equal but for rounding."""
    return math.isclose(left, right, rel_tol=1e-12, abs_tol=ROUNDING)


def all_same(rewards: Sequence[float]) -> bool:
    """Whether all rewards of a group are equal but for rounding: it teaches nothing."""
    return same_reward(min(rewards), max(rewards))
