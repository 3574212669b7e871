"""What a course of training shows of an environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from devkit.training.trainer import Step

Shown = Literal["learned", "hacked", "flat", "failed"]

# Steps at either end that are averaged: a single batch says little.
_WINDOW = 5
# What counts as a change of a mean between 0 and 1.
_CHANGE = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a policy was before and after training.

    Args:
        shown: ``learned``: success rose, or, without a metric of success, the reward did; ``hacked``: the
            reward rose while success fell or stood still far below it; ``flat``: neither moved;
            ``failed``: no rollout earned a reward.
        reward: mean at the beginning and at the end.
        success: the same of the metric of success; None where no rollout has it.
        grew: the behaviour whose share grew the most, with its share before and after; None where the
            policy tells no shares.
    """

    shown: Shown
    reward: tuple[float, float] | None
    success: tuple[float, float] | None
    grew: tuple[str, float, float] | None
    says: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "shown": self.shown,
            "reward": self.reward,
            "success": self.success,
            "grew": self.grew,
            "says": self.says,
        }


def outcome_of(steps: Sequence[Step]) -> Outcome:
    """Judge a course of training.

    Args:
        steps: in order; at least one.
    """
    reward = _ends([step.reward for step in steps])
    success = _ends([step.success for step in steps])
    grew = _grew(steps[0].policy, steps[-1].policy)
    shown = _shown(reward, success)
    return Outcome(shown, reward, success, grew, _says(shown, reward, success, grew))


def _grew(first: Mapping[str, float], last: Mapping[str, float]) -> tuple[str, float, float] | None:
    """The behaviour whose share grew the most, of a policy that tells shares."""
    if not last or min(last.values()) < 0 or not math.isclose(sum(last.values()), 1, abs_tol=1e-6):
        return None
    name = max(last, key=lambda each: last[each] - first.get(each, 0.0))
    return name, first.get(name, 0.0), last[name]


def _shown(reward: tuple[float, float] | None, success: tuple[float, float] | None) -> Shown:
    if reward is None:
        return "failed"
    earned = reward[1] - reward[0]
    if success is None:
        return "learned" if earned > _CHANGE else "flat"
    solved = success[1] - success[0]
    if solved > _CHANGE:
        return "learned"
    if earned > _CHANGE or solved < -_CHANGE:
        return "hacked"
    return "flat"


def _says(
    shown: Shown,
    reward: tuple[float, float] | None,
    success: tuple[float, float] | None,
    grew: tuple[str, float, float] | None,
) -> str:
    if reward is None:
        return "No rollout earned a reward: nothing can be learned. Rehearse the environment first."
    moved = f"the reward went from {reward[0]:.2f} to {reward[1]:.2f}"
    if success is not None:
        moved += f", success from {success[0]:.2f} to {success[1]:.2f}"
    if grew is not None:
        name, before, after = grew
        moved += f"; {name!r} grew from {before:.0%} to {after:.0%} of the rollouts"
    if shown == "learned":
        return f"The policy learned: {moved}."
    if shown == "hacked":
        return f"The reward pays for something else than success: {moved}. Mend the reward."
    return f"Nothing was learned: {moved}."


def _ends(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    window = max(1, min(_WINDOW, len(known) // 2))
    return fmean(known[:window]), fmean(known[-window:])
