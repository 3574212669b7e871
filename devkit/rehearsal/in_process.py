"""Rollouts in this process: no stack, no server, some hundreds a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from devkit.emulator.job_runtime import PolicyFunction, SampleRequest, completed
from devkit.rehearsal.captured import stored_turns
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.target import Task
from rollout.results import Result
from rollout.testing import play_with

# What a job's rollout is sampled with, unless something else is asked for.
PARAMS: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 4_096}


def play_here(
    agent: Callable[[Any], Any],
    instance: dict[str, Any],
    sample: PolicyFunction,
    *,
    trajectory_id: str,
    params: Mapping[str, Any] = PARAMS,
    max_turns: int = 50,
    seconds: float = 60.0,
) -> Result:
    """Play one rollout of an agent against a policy.

    Args:
        agent: the agent's function; it gets the instance itself, and may change it.
        sample: answers its turns; what its answers leave out of a chat completion is filled in.
        trajectory_id: seeds ``episode.random``.
        params: the trainer's ``temperature``, ``top_p`` and ``max_tokens``.
        max_turns: the budget of turns.
        seconds: the budget of time.

    Returns:
        How it ended; a failure is a result, not an exception.
    """
    return play_with(
        agent,
        instance,
        _Here(sample, json.loads(json.dumps(instance)), trajectory_id),
        trajectory_id=trajectory_id,
        params=params,
        max_turns=max_turns,
        seconds=seconds,
    )


class _Here:
    """A policy of the devkit as the library asks one."""

    def __init__(self, sample: PolicyFunction, instance: dict[str, Any], identifier: str) -> None:
        self._sample, self._instance, self._identifier = sample, instance, identifier
        self._turn = 0

    def sample(self, body: bytes, deadline: float) -> bytes:
        """Answer one turn."""
        del deadline
        asked = SampleRequest("", self._identifier, self._instance, json.loads(body), self._turn)
        self._turn += 1
        return json.dumps(completed(asked, dict(self._sample(asked)))).encode()


class InProcess:
    """An agent as a target; what a job would make of its reports is not played.

    Args:
        agent: the agent's function.
        sample: answers its turns with assistant messages or chat completions.
    """

    def __init__(self, agent: Callable[[Any], Any], sample: PolicyFunction) -> None:
        self._agent, self._sample = agent, sample

    def play(self, task: Task) -> RolloutRecord:
        """Play one rollout."""
        instance = json.loads(json.dumps(task.instance))
        result = play_here(self._agent, instance, self._sample, trajectory_id=task.trajectory_id)
        return RolloutRecord(
            trajectory_id=task.trajectory_id,
            group=task.group,
            member=task.member,
            instance=task.instance,
            status=result.status,
            reward=result.reward,
            rewards=result.rewards,
            error=result.answer(task.trajectory_id).get("error"),
            http_status=200,
            seconds=result.seconds,
            metrics=result.metrics,
            output=result.output,
            turns=stored_turns({"turns": result.transcript}),
            sampled=result.turns,
            turns_answered=result.turns,
            reports=[],
        )
