"""Other rewards from the criteria that a run has recorded: nothing is played, nothing sampled."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

from devkit.rehearsal.rescoring import make_room
from devkit.rehearsal.run_files import (
    RolloutRecord,
    append_rollout,
    read_manifest,
    read_rollouts,
    write_manifest,
)
from devkit.rehearsal.score_changes import Divergence, ScoreChanges
from rollout.errors import RewardError
from rollout.rewards import shape_rewards
from rollout.rubric import PREFIX, Rubric, criteria_of
from rollout.settings import RewardShape, read_limits


def rubric_of(agent: str, name: str = "") -> Rubric:
    """The rubric of an agent's module.

    Args:
        agent: ``module:function``.
        name: of the rubric; may be empty where the module has one only.

    Raises:
        ValueError: there is none of that name, none at all, or several.
    """
    module = importlib.import_module(agent.partition(":")[0])
    found = {key: value for key, value in vars(module).items() if isinstance(value, Rubric)}
    if name:
        if name not in found:
            raise ValueError(f"{module.__file__} has no rubric {name!r}")
        return found[name]
    if len(found) != 1:
        has = f"several: {', '.join(found)}; name one" if found else "none"
        raise ValueError(f"{module.__file__} should hold one Rubric; it has {has}")
    return next(iter(found.values()))


def reweigh(run: Path, rubric: Rubric, out: Path, changes: ScoreChanges) -> Iterator[RolloutRecord]:
    """Give a run's rollouts the reward that a rubric makes of their criteria; yields each as written.

    A failed rollout, and one that FailurePolicy gave its reward, stays as it is.

    Args:
        run: the run's directory.
        rubric: with the weights to be tried; its functions are not called.
        out: directory of the new run; one that an earlier rescore of this run made is replaced.
        changes: is filled; a rollout that lacks a value counts as diverged and has no reward.

    Raises:
        ValueError: ``run`` is no run, ``out`` is something else than a rescore of it, or a rollout has no
            criteria at all.
    """
    manifest = read_manifest(run)
    make_room(out, run)
    write_manifest(out, manifest.model_copy(update={"rescored_from": str(run)}))
    shape = read_limits(os.environ).reward_shape
    for record in read_rollouts(run):
        new, found = _reweighed(record, rubric, shape)
        changes.kept += new is record
        changes.add(record, new, found)
        append_rollout(out, new)
        yield new


def _reweighed(
    record: RolloutRecord, rubric: Rubric, shape: RewardShape
) -> tuple[RolloutRecord, Divergence | None]:
    if record.status == "failed" or record.error:
        return record, None
    values = criteria_of(record.metrics)
    if not values:
        raise ValueError(
            f"rollout {record.trajectory_id} has no metric {PREFIX}…: its agent was played without a "
            "Rubric; play it with one, or rescore without --reweigh"
        )
    try:
        reward = rubric.reward(values)
        rewards = shape_rewards(reward, record.turns_answered, shape, "rubric")
    except RewardError as error:
        why = f"{error.detail.rstrip('.')}: it was not asked when this was played"
        failure = error.failure().document()
        gone = {"status": "failed", "reward": None, "rewards": None, "error": failure}
        return record.model_copy(update=gone), Divergence(len(record.turns), why)
    return record.model_copy(update={"reward": sum(rewards), "rewards": rewards}), None
