"""Rollouts in this process: no stack, no server, some hundreds a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.target import Task
from rollout.testing import rehearse


class InProcess:
    """An agent as a target; what a job would make of its requests and reports is not played.

    Args:
        agent: the agent's function.
        sample: answers its turns with assistant messages.
    """

    def __init__(self, agent: Callable[[Any], Any], sample: PolicyFunction) -> None:
        self._agent, self._sample = agent, sample

    def play(self, task: Task) -> RolloutRecord:
        """Play one rollout."""

        def script(instance: dict[str, Any], messages: list[dict[str, Any]]) -> Any:
            turn = sum(message.get("role") == "assistant" for message in messages)
            body = {"messages": messages}
            said = self._sample(SampleRequest("", task.trajectory_id, instance, body, turn))
            return said["choices"][0]["message"] if "choices" in said else said

        result = rehearse(self._agent, task.instance, script, trajectory_id=task.trajectory_id)
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
            turns=[],
            sampled=result.turns,
            turns_answered=result.turns,
            reports=[],
        )
