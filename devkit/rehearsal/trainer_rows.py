"""A run as a dataset that other trainers read: chat messages, rewards, group, advantage."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from statistics import stdev
from typing import Any

from devkit.rehearsal.counts import Group, count_rollouts
from devkit.rehearsal.run_files import RolloutRecord, read_manifest, read_rollouts
from rollout.conversation import read
from rollout.reply import arguments_of, normal, sendable


def export(run: Path, out: Path) -> int:
    """Write one JSON object a rollout; docs/rehearsal-format.md describes the columns.

    The run is read twice, rollout by rollout: the advantages need every group first.

    Returns:
        How many were written.

    Raises:
        ValueError: the directory holds no run, or the name asks for a format that is not written.
    """
    if out.suffix != ".jsonl":
        raise ValueError(
            f"{out.name}: only .jsonl is written; pandas.read_json(…, lines=True).to_parquet(…) makes "
            "Parquet of it"
        )
    read_manifest(run)
    groups = count_rollouts(read_rollouts(run)).groups
    count = 0
    with out.open("w", encoding="utf-8") as file:
        for record in read_rollouts(run):
            json.dump(row_of(record, groups[record.group]), file, ensure_ascii=False)
            file.write("\n")
            count += 1
    return count


def row_of(record: RolloutRecord, group: Group) -> dict[str, Any]:
    """One rollout as a row of the dataset."""
    messages = record.messages()
    prompt = record.turns[0].messages if record.turns else []
    linear = is_linear(record)
    return {
        "prompt": list(map(exported, prompt)),
        "completion": list(map(exported, messages[len(prompt) :])) if linear else None,
        "messages": list(map(exported, messages)),
        "linear": linear,
        "tools": record.turns[0].params.get("tools") if record.turns else None,
        "reward": record.reward,
        "rewards": record.rewards,
        "advantage": advantage(record.reward, group),
        "group": record.group,
        "member": record.member,
        "trajectory_id": record.trajectory_id,
        "status": record.status,
        "finish_reason": record.turns[-1].finish_reason if record.turns else None,
        "turns": len(record.turns),
        "completion_tokens": sum(turn.usage.get("completion_tokens", 0) for turn in record.turns),
        "prompt_tokens": sum(turn.usage.get("prompt_tokens", 0) for turn in record.turns),
        "seconds": record.seconds,
        "metrics": record.metrics,
        "instance": record.instance,
    }


def exported(message: dict[str, Any]) -> dict[str, Any]:
    """A message as chat templates read it: without null fields, arguments of calls as objects.

    A template that writes arguments as JSON would encode a string of JSON a second time.
    """
    made = sendable({k: v for k, v in message.items() if v is not None})
    calls = made.get("tool_calls")
    if not calls:
        return made
    objects = [{**call, "function": _with_object(call["function"])} for call in calls]
    return {**made, "tool_calls": objects}


def _with_object(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "arguments": arguments_of(function["arguments"])}


def is_linear(record: RolloutRecord) -> bool:
    """Whether every turn went on from the one before, so that one sequence holds them all."""
    asked = read((turn.repeated, turn.messages) for turn in record.turns)
    replies = (turn.message for turn in record.turns)
    return all(
        turn.dropped == 0 and bool(turn.added) and normal(turn.added[0]) == normal(reply)
        for reply, turn in zip(replies, islice(asked, 1, None), strict=False)
    )


def advantage(reward: float | None, group: Group) -> float | None:
    """(reward - mean) / standard deviation within the group, as GRPO computes it.

    The deviation is the sample's (n - 1), as TRL and verl take it; they also add 1e-4 and 1e-6 to it. A
    group without spread has advantage 0, a rollout without a reward none.
    """
    if reward is None or group.mean is None:
        return None
    if not group.comparable or group.flat:
        return 0.0
    return (reward - group.mean) / stdev(group.rewards)
