"""Runs on disk to judge: the shipped agents played in process by their scripts, or records made up."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path

from devkit.places import dataset_of
from devkit.policies.scripts import scripts_of
from devkit.rehearsal.play import read_rows
from devkit.rehearsal.run_files import (
    Manifest,
    RolloutRecord,
    TurnRecord,
    append_rollout,
    write_manifest,
)
from rollout.reply import read_reply
from rollout.testing import rehearse
from scripts.datasets import AGENTS


def manifest(**changes) -> Manifest:
    known = {
        "name": "r",
        "agent": "environments.calculator:calculator",
        "dataset": "rows.jsonl",
        "dataset_sha256": "0" * 64,
        "rows": 1,
        "group_size": 4,
        "policy": "http://127.0.0.1:8000/v1",
        "mode": "inline",
        "temperature": None,
        "top_p": None,
        "max_tokens": None,
        "seed": 0,
        "rollout_timeout": 600.0,
        "started_at": "2026-11-24T15:00:00+00:00",
    }
    return Manifest.model_validate(known | changes)


def turn(content="hi", *, messages=None, repeated=0, tokens=10, **changes) -> TurnRecord:
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    asked = [{"role": "user", "content": "?"}] if messages is None else messages
    given = {"usage": {"prompt_tokens": 20, "completion_tokens": tokens}, "seconds": 0.5} | changes
    return TurnRecord.model_validate(
        {
            "messages": asked,
            "repeated": repeated,
            "params": {},
            "message": message,
            "finish_reason": "stop",
        }
        | given
    )


def record(group=0, member=0, reward=1.0, **changes) -> RolloutRecord:
    turns = changes.pop("turns", [turn()])
    known = {
        "trajectory_id": f"r-{group:04d}-{member}",
        "group": group,
        "member": member,
        "instance": {"question": f"problem {group}"},
        "status": "ready" if reward is not None else "failed",
        "reward": reward,
        "rewards": None if reward is None else [reward],
        "error": None if reward is not None else failure("policy"),
        "http_status": 200,
        "seconds": 1.0,
        "turns": turns,
        "sampled": len(turns),
        "turns_answered": len(turns),
        "reports": ["CompleteRollout 200", "UpdateReward 200"]
        if reward is not None
        else ["CompleteRollout 200"],
    }
    return RolloutRecord.model_validate(known | changes)


def failure(boundary, title="It failed"):
    return {
        "type": "urn:rollout:problem:x",
        "slug": "x",
        "title": title,
        "boundary": boundary,
        "detail": "why",
    }


def write(run: Path, records, **changes) -> Path:
    records = list(records)
    groups = len({r.group for r in records})
    size = max((r.member + 1 for r in records), default=1)
    write_manifest(run, manifest(**{"rows": groups, "group_size": size} | changes))
    for each in records:
        append_rollout(run, each)
    return run


def groups(*rewards):
    """One record a reward, each argument being a group."""
    return [
        record(number, member, reward)
        for number, group in enumerate(rewards)
        for member, reward in enumerate(group)
    ]


def played(run: Path, name: str, *, rows=6, group_size=4, skill=0.6, **changes) -> Path:
    """Play an agent of the repository by its gold and poor scripts."""
    module = importlib.import_module(f"environments.{name}")
    function, scripts = getattr(module, name), scripts_of(AGENTS[name])
    dice = random.Random(f"{name} {skill}")
    records = []
    for group, instance in enumerate(read_rows(dataset_of(AGENTS[name]), rows)):
        for member in range(group_size):
            script = scripts.gold if dice.random() < skill else scripts.poor
            identifier = f"r-{group:04d}-{member}"
            result = rehearse(function, instance, script, trajectory_id=identifier)
            records.append(recorded(result, identifier, group, member, instance))
    dataset = str(dataset_of(AGENTS[name]))
    return write(run, records, agent=AGENTS[name], dataset=dataset, policy="scripted", **changes)


def recorded(result, identifier, group, member, instance) -> RolloutRecord:
    turns = []
    for each in result.transcript:
        reply = read_reply(json.dumps(each["reply"]).encode())
        turns.append(
            TurnRecord(
                messages=each["messages"],
                repeated=each["repeated"],
                params=each["params"],
                message=reply.message,
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                seconds=each["seconds"],
            )
        )
    return record(
        group,
        member,
        result.reward,
        trajectory_id=identifier,
        instance=instance,
        rewards=result.rewards,
        error=result.failure.document() if result.failure else None,
        metrics=result.metrics,
        output=result.output,
        seconds=max(result.seconds, 0.001),
        turns=turns,
    )
