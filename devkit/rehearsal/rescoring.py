"""Score stored trajectories again with a changed agent, without sampling.

The agent is played against its recorded replies, in order, with the same instance and the same
trajectory id (which seeds ``episode.random``). Its tools run again. An agent that asks for something
else than was asked then, or more, or less, has *diverged*: what the policy would have said is unknown,
so its rollout is not scored at all.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devkit.rehearsal.run_files import (
    Manifest,
    RolloutRecord,
    append_rollout,
    read_manifest,
    read_rollouts,
    write_manifest,
)
from devkit.rehearsal.score_changes import Divergence, ScoreChanges
from devkit.rehearsal.versions import version_of
from rollout.agent import Agent
from rollout.contract import InferenceParams, RolloutMetadata, RolloutRequest
from rollout.conversation import read, shared
from rollout.errors import SampleFailed
from rollout.results import Result, Rollout
from rollout.run import play
from rollout.settings import Limits, read_limits
from rollout.steps import InlineSteps
from rollout.trust import Destination

DIVERGED = "urn:rollout:problem:diverged"
# Failures at these boundaries say nothing of the reward; scoring again cannot undo them.
_KEPT = frozenset({"policy", "deadline", "tool", "platform", "trainer", "caller"})
_SECONDS = 600.0


class RecordedPolicy:
    """Says what was recorded, as long as it is asked what was asked then.

    Args:
        record: the rollout.
    """

    def __init__(self, record: RolloutRecord) -> None:
        self._turns = record.turns
        self._asked = read((turn.repeated, turn.messages) for turn in self._turns)
        self._next = 0
        self._diverged: Divergence | None = None

    def sample(self, body: bytes, deadline: float) -> bytes:
        """The recorded reply to this request.

        Raises:
            SampleFailed: there is none; :meth:`divergence` says where.
        """
        del deadline
        if self._diverged is None:
            self._diverged = self._differs(json.loads(body))
        if self._diverged is not None:
            raise SampleFailed(self._diverged.why, captured="no")
        turn = self._turns[self._next]
        self._next += 1
        # The clients of frameworks miss what is left out of a chat completion.
        usage = {"prompt_tokens": 0, "completion_tokens": 0, **turn.usage}
        usage.setdefault("total_tokens", usage["prompt_tokens"] + usage["completion_tokens"])
        completion = {
            "id": f"chatcmpl-{self._next}",
            "object": "chat.completion",
            "created": 0,
            "model": str(turn.params.get("model") or "recorded"),
            "choices": [{"index": 0, "message": turn.message, "finish_reason": turn.finish_reason}],
            "usage": usage,
        }
        return json.dumps(completion).encode()

    def divergence(self, error: dict[str, str] | None) -> Divergence | None:
        """Where the agent went another way, once it has ended; None if it did not.

        Args:
            error: what it ended with.
        """
        if self._diverged is None and self._next < len(self._turns):
            why = f"the agent ended after turn {self._next} of {len(self._turns)}"
            if error:
                why += f" ({error['title']}: {error['detail']})"
            return Divergence(self._next + 1, why)
        return self._diverged

    def _differs(self, request: dict[str, Any]) -> Divergence | None:
        number = self._next + 1
        if self._next == len(self._turns):
            return Divergence(number, f"the agent asked for turn {number}, which was not recorded")
        turn = self._turns[self._next]
        recorded, messages = next(self._asked).messages, request.pop("messages")
        if messages != recorded:
            place = shared(messages, recorded)
            return Divergence(number, f"message {place + 1} of the request is another")
        params = {key: value for key, value in turn.params.items() if key != "messages"}
        changed = sorted(
            key
            for key in params.keys() | request.keys()
            if key != "model" and params.get(key) != request.get(key)
        )
        if changed:
            return Divergence(number, f"the request's {', '.join(changed)} differ")
        return None


def rescore(run: Path, agent: Agent, out: Path, changes: ScoreChanges) -> Iterator[RolloutRecord]:
    """Score a run again; yields each new record as it is written, and counts in ``changes``.

    Args:
        run: the run's directory.
        agent: plays the recorded replies.
        out: directory of the new run; one that an earlier rescore of this run made is replaced.
        changes: is filled.

    Raises:
        ValueError: ``run`` is no run, or ``out`` is something else than a rescore of it.
    """
    manifest = read_manifest(run)
    make_room(out, run)
    update = {"agent": agent.name, "rescored_from": str(run), **asdict(version_of(agent.name))}
    write_manifest(out, manifest.model_copy(update=update))
    limits = read_limits(os.environ)
    for record in read_rollouts(run):
        new, found = score_again(record, agent, manifest, limits)
        changes.kept += new is record
        changes.add(record, new, found)
        append_rollout(out, new)
        yield new


def make_room(out: Path, run: Path) -> None:
    """Empty the directory of a new score.

    Raises:
        ValueError: it holds something else than a new score of this run.
    """
    if not out.exists():
        return
    if not (out / "run.json").exists() or read_manifest(out).rescored_from != str(run):
        raise ValueError(f"{out} exists and is no rescore of {run}; name another with --out")
    for file in out.iterdir():
        file.unlink()


def score_again(
    record: RolloutRecord, agent: Agent, manifest: Manifest, limits: Limits
) -> tuple[RolloutRecord, Divergence | None]:
    """One rollout scored again; the same record where its failure was not the agent's."""
    if record.error and record.error.get("boundary") in _KEPT:
        return record, None
    policy = RecordedPolicy(record)
    result = _play_recorded(record, policy, agent, manifest, limits)
    failure = result.failure.document() if result.failure else None
    found = policy.divergence(failure)
    if found is not None:
        error = {
            "type": DIVERGED,
            "title": "The agent went another way than when it was recorded",
            "boundary": "agent",
            "detail": f"Turn {found.turn}: {found.why}.",
        }
        return record.model_copy(
            update={
                "status": "failed",
                "reward": None,
                "rewards": None,
                "error": error,
                "reports": [],
            }
        ), found
    return record.model_copy(
        update={
            "status": result.status,
            "reward": result.reward,
            "rewards": result.rewards,
            "error": failure,
            "metrics": result.metrics,
            "output": result.output,
            "reports": [],
        }
    ), None


def _play_recorded(
    record: RolloutRecord,
    policy: RecordedPolicy,
    agent: Agent,
    manifest: Manifest,
    limits: Limits,
) -> Result:
    request = RolloutRequest(
        instance=record.instance,
        metadata=RolloutMetadata(job_arn="", trajectory_id=record.trajectory_id, endpoint=""),
        inference_params=InferenceParams(
            temperature=manifest.temperature,
            max_tokens=manifest.max_tokens,
            top_p=manifest.top_p,
        ),
    )
    destination = Destination("", record.trajectory_id, "", "us-west-2", "recorded")
    deadline = time.time() + _SECONDS
    return play(
        Rollout.of(request, destination),
        agent=agent,
        policy=policy,
        steps=InlineSteps(lambda: None, deadline),
        limits=limits,
        deadline=deadline,
    )
