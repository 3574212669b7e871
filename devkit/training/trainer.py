"""Trains a policy through the contract: POST /rollout, Sample, CompleteRollout, UpdateReward.

A step draws a batch of problems, has each played by a group of rollouts, and lets the policy learn from
the rewards that the trainer was sent. Nothing here knows the agent: what it reports is all there is.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from devkit.rehearsal.play import play, tasks_of
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.target import Target
from devkit.training.grpo import Learner, advantages


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of training came to.

    Args:
        step: number, from 0: step 0 is played by the policy as it was given.
        reward: mean over the rollouts that have one; None where every rollout failed.
        success: mean of the metric that says what is wanted; None where no rollout has it.
        flat: share of the groups whose rewards are all equal.
        turns: mean turns of a rollout.
        policy: what the policy was like when it played this step.
        seconds: how long the step took.
    """

    step: int
    rollouts: int
    failed: int
    reward: float | None
    success: float | None
    flat: float
    turns: float
    policy: Mapping[str, float]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The step as one line of ``training.jsonl``."""
        return asdict(self)


def train(
    target: Target,
    learner: Learner,
    rows: Sequence[dict[str, Any]],
    *,
    steps: int,
    batch_size: int,
    group_size: int,
    success: str = "success",
    concurrency: int = 8,
    seed: int = 0,
    name: str = "train",
) -> Iterator[Step]:
    """Train for some steps; yields each as it ends.

    Args:
        target: plays a rollout; its turns must be answered by ``learner.sample``.
        rows: instances to draw problems from.
        batch_size: problems of a step.
        group_size: rollouts of each.
        success: name of the metric in which the agent says whether the problem was solved.
        seed: of the problems' order.
        name: begins each trajectory id.

    Raises:
        ValueError: there are no rows to train on.
        Unreachable: from the target.
    """
    if not rows:
        raise ValueError("there are no rows to train on")
    dice = random.Random(seed)  # noqa: S311 - reproducible on purpose, not for secrets
    for number in range(steps):
        began, policy = time.monotonic(), dict(learner.describe())
        batch = [dice.randrange(len(rows)) for _ in range(batch_size)]
        # A row may be drawn twice in a step: the place in the batch is the group, not the row.
        numbered = ((place, rows[row]) for place, row in enumerate(batch))
        tasks = tasks_of(numbered, group_size, name=f"{name}-{number:05d}")
        played = list(play(target, tasks, concurrency=concurrency))
        groups = [advantages(rewards) for rewards in _rewards(played)]
        learner.learn([advantage for group in groups for advantage in group])
        flat = [all(advantage.value == 0 for advantage in group) for group in groups]
        yield _step(number, played, flat, success=success, policy=policy, began=began)


def _rewards(played: Sequence[RolloutRecord]) -> list[dict[str, float]]:
    """The rewards of each group by trajectory id, whatever the order in which its rollouts ended."""
    groups: dict[int, dict[str, float]] = defaultdict(dict)
    for record in sorted(played, key=lambda record: record.trajectory_id):
        if record.reward is not None:
            groups[record.group][record.trajectory_id] = record.reward
    return list(groups.values())


def _step(
    number: int,
    played: Sequence[RolloutRecord],
    flat: Sequence[bool],
    *,
    success: str,
    policy: Mapping[str, float],
    began: float,
) -> Step:
    rewards = [record.reward for record in played if record.reward is not None]
    solved = [record.metrics[success] for record in played if success in record.metrics]
    return Step(
        step=number,
        rollouts=len(played),
        failed=len(played) - len(rewards),
        reward=fmean(rewards) if rewards else None,
        success=fmean(solved) if solved else None,
        flat=fmean(flat) if flat else 1.0,
        turns=fmean(record.turns_answered for record in played) if played else 0.0,
        policy=policy,
        seconds=round(time.monotonic() - began, 3),
    )
