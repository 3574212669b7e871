"""The promises (docs/architecture.md), checked from the trainer's log and the table after a history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.history import Rollout, Universe

# What each is called, and which promise it is.
INVARIANTS = {
    "terminal": "1: every accepted rollout reaches one terminal state, in time",
    "conflict": "2: reports may repeat and never conflict",
    "reward-lost": "3: a computed reward is never lost",
    "turn-twice": "4: no trajectory holds a turn twice",
    "captured": "4: what may have been captured is never taken for untouched",
    "202": "5: 202 only for what is recorded and started",
    "crossed": "6: nothing crosses rollouts",
    "crashed": "8: nothing ends without an answer or a report",
    "false-reward": "8: no outage becomes a reward",
    "row": "the row says what the trainer was told",
}


def check(world: Universe) -> None:
    """Look at every rollout of a history that is over."""
    for rollout in world.plan.rollouts:
        _check(world, rollout)


def _check(world: Universe, rollout: Rollout) -> None:
    name = rollout.name
    known = world.trainer.trajectories[name]
    row = world.row(name, rollout.job)
    labels = [turn["messages"][-1]["content"] for turn in known.turns]
    if len(set(labels)) != len(labels):
        world.found("turn-twice", name, str(labels))
    if any(name not in label for label in labels):
        world.found("crossed", name, str(labels))
    if name in world.unrecorded:
        # Table and bucket were both out when its process reported. If that died then, nobody knows what it
        # said, and the sweep says that it failed (docs/durable.md): an end it has all the same.
        if known.state == "open" or row is None or row["state"] not in ("ready", "failed"):
            world.found("terminal", name, f"unrecorded, the trainer has {known.state}")
        return
    for operation in ("complete", "reward"):
        said = {
            (json.dumps(payload), token)
            for op, payload, token, _, _ in known.reports
            if op == operation
        }
        if len(said) > 1:
            world.found("conflict", name, f"{operation}: {sorted(said)}")
    if row is not None:
        _check_row(world, rollout, row, labels)
    if rollout.job in world.plan.trainer["silent"]:
        return  # its trainer never answers: only what it does to others counts
    accepted = any(a.name == name and a.status in (200, 202) for a in world.answers)
    begun = bool(known.turns or known.reports or row is not None)
    if (accepted or begun) and known.state not in ("failed", "rewarded"):
        world.found(
            "terminal", name, f"the trainer has {known.state}, the row {row and row['state']}"
        )
    elif row is not None and row["state"] not in ("ready", "failed"):
        world.found("terminal", name, f"the row is {row['state']}, the trainer has {known.state}")
    _check_reward(world, rollout, row)


def _check_row(world: Universe, rollout: Rollout, row: dict[str, Any], labels: list[str]) -> None:
    name, known = rollout.name, world.trainer.trajectories[rollout.name]
    if name not in row["pk"] or row["trajectory_id"] != name or row["job_arn"] != rollout.job:
        world.found("crossed", name, "its row names another")
    if row["state"] == "ready" and (
        known.state != "rewarded" or known.rewards != json.loads(row["rewards"])
    ):
        world.found("row", name, f"the row is ready, the trainer has {known.state} {known.rewards}")
    report = json.loads(row.get("report", "{}"))
    if (
        row["state"] == "failed"
        and report.get("delivery") == "delivered"
        and known.state != "failed"
    ):
        world.found(
            "row", name, f"the row says failed and delivered, the trainer has {known.state}"
        )
    if (row["state"], report.get("delivery")) == ("failed", "refused") and known.state != "failed":
        world.found("row", name, f"the row says the trainer refused: {report.get('detail')}")
    untouched = int(row.get("turns", 0)) == 0 and int(row.get("possibly_captured", 0)) == 0
    if row["state"] in ("scored", "failed") and untouched and labels:
        world.found("captured", name, f"the row knows no turn, the trainer holds {labels}")


def _check_reward(world: Universe, rollout: Rollout, row: dict[str, Any] | None) -> None:
    known = world.trainer.trajectories[rollout.name]
    if known.state == "rewarded":
        # What the agent itself made of a turn that failed is a reward; floors need the setting.
        whole = [r for n, r, _, _ in world.computed if n == rollout.name]
        floor = world.settings.limits.failure_policy.floor("agent") is not None
        if known.rewards not in whole and not floor:
            world.found("false-reward", rollout.name, f"{known.rewards}, computed {whole}")
    for name, rewards, process, _ in world.computed:
        if name != rollout.name or process.died or known.state == "rewarded":
            continue
        if rollout.kind in ("late", "null-metrics", "odd-float", "overflows"):
            continue
        error = json.loads(row["failure"]) if row and "failure" in row else {}
        if error.get("boundary") == "deadline":
            continue  # it came too late
        world.found(
            "reward-lost", rollout.name, f"{rewards} computed, the trainer has {known.state}"
        )
        return
