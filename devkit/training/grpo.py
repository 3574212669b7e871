"""Group-relative policy optimisation of a policy that is small enough to understand.

The policy is a softmax over behaviours: whole ways of playing, each a policy of its own. Before a
rollout it draws one; after a step each behaviour's score moves by how much better its rollouts did than
the others of their group. What training would make of a reward shows within seconds: the behaviours
that pay grow, whether they solve the problem or only please the grader.

Sources: Shao et al. 2024 (DeepSeekMath) for the group-relative advantage; Williams 1992 for its gradient.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from threading import Lock
from typing import Any, Protocol

from devkit.emulator.job_runtime import PolicyFunction, SampleRequest

# Rewards nearer than this are equal: rounding is not spread.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Advantage:
    """How much better one rollout did than its group, in standard deviations."""

    trajectory_id: str
    value: float


class Learner(Protocol):
    """A policy that learns; whoever brings their own writes these three methods."""

    def sample(self, asked: SampleRequest, /) -> Any:
        """Answer one turn with a chat completion or an assistant message; called from many threads."""
        ...

    def learn(self, advantages: Sequence[Advantage]) -> None:
        """Take one step of training on the rollouts of one batch."""
        ...

    def describe(self) -> Mapping[str, float]:
        """What the policy is like now, as numbers by name, for the curve."""
        ...


def advantages(rewards: Mapping[str, float]) -> list[Advantage]:
    """The group-relative advantages of one group.

    Args:
        rewards: of the group's rollouts, by trajectory id; a failed rollout has none and is left out.

    Returns:
        One a rollout: zero for all where the rewards are equal, for such a group teaches nothing.
    """
    if not rewards:
        return []
    mean, deviation = fmean(rewards.values()), pstdev(rewards.values())
    if max(rewards.values()) - min(rewards.values()) <= _EQUAL:
        return [Advantage(identifier, 0.0) for identifier in rewards]
    return [
        Advantage(identifier, (reward - mean) / deviation) for identifier, reward in rewards.items()
    ]


class SoftmaxPolicy:
    """A softmax over behaviours.

    Args:
        behaviours: policies by name.
        shares: how often each is played at first; the rest is shared evenly among the others.
        rate: of learning; the step of a score for an advantage of one over a whole batch.
        seed: of the draws.

    Raises:
        ValueError: there are fewer than two behaviours, or the shares are not shares of theirs.
    """

    def __init__(
        self,
        behaviours: Mapping[str, PolicyFunction],
        *,
        shares: Mapping[str, float] | None = None,
        rate: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._behaviours = dict(behaviours)
        self._scores = _scores(list(behaviours), shares or {})
        self._rate = rate
        self._dice = random.Random(seed)  # noqa: S311 - reproducible on purpose, not for secrets
        self._drawn: dict[str, str] = {}
        self._lock = Lock()

    def sample(self, asked: SampleRequest) -> Any:
        """Play on with the behaviour that was drawn for this rollout."""
        return self._behaviours[self.drawn(asked.trajectory_id)](asked)

    def drawn(self, trajectory_id: str) -> str:
        """The name of the behaviour that plays a rollout; draws it at the first call."""
        with self._lock:
            if trajectory_id not in self._drawn:
                shares = self.describe()
                drawn = self._dice.choices(list(shares), list(shares.values()))[0]
                self._drawn[trajectory_id] = drawn
            return self._drawn[trajectory_id]

    def learn(self, advantages: Sequence[Advantage]) -> None:
        """One step of the policy gradient; forgets the draws, which belong to the policy before it."""
        shares = self.describe()
        gradient = dict.fromkeys(shares, 0.0)
        for advantage in advantages:
            drawn = self._drawn[advantage.trajectory_id]
            for name, share in shares.items():
                gradient[name] += advantage.value * ((name == drawn) - share)
        for name, slope in gradient.items():
            self._scores[name] += self._rate * slope / max(1, len(advantages))
        self._drawn.clear()

    def describe(self) -> Mapping[str, float]:
        """How often each behaviour is played now; the shares add up to one."""
        highest = max(self._scores.values())
        weights = {name: math.exp(score - highest) for name, score in self._scores.items()}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


def _scores(names: Sequence[str], shares: Mapping[str, float]) -> dict[str, float]:
    if len(names) < 2:
        raise ValueError("a policy needs two behaviours to choose between")
    unknown = sorted(set(shares) - set(names))
    if unknown:
        raise ValueError(f"there is no behaviour {unknown[0]!r}; there are {', '.join(names)}")
    rest = 1.0 - sum(shares.values())
    others = len(names) - len(shares)
    if any(share <= 0 for share in shares.values()) or rest < 0 or (others and rest <= 0):
        raise ValueError("shares must be above nought and leave something for every behaviour")
    return {name: math.log(shares[name] if name in shares else rest / others) for name in names}
