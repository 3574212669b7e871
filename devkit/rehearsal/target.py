"""What a rehearsal plays on: the stack on this machine, or a deployed one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from devkit.emulator.stack import JOB_ARN, EmulatedStack
from devkit.rehearsal import captured
from devkit.rehearsal.client import Answer, RolloutClient, error_of
from devkit.rehearsal.run_files import RolloutRecord, TurnRecord


@dataclass(frozen=True)
class Task:
    """One rollout to play.

    Args:
        group: number of the dataset's row, from 0.
        member: number within the group, from 0.
    """

    trajectory_id: str
    group: int
    member: int
    instance: dict[str, Any]


class Target(Protocol):
    """Plays rollouts; called from many threads."""

    def play(self, task: Task) -> RolloutRecord:
        """Play one rollout to its end.

        Raises:
            Unreachable: nothing is known of the rollout.
        """
        ...


class LocalJob:
    """A training job on the local stack: turns are captured by the simulated platform.

    Args:
        params: ``inference_params`` of each request.
        keep: leave everything in the stack, for a caller that looks at it afterwards.
    """

    def __init__(
        self,
        stack: EmulatedStack,
        client: RolloutClient,
        params: Mapping[str, Any] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self._stack, self._client, self._params = stack, client, params
        self._keep = keep

    def play(self, task: Task) -> RolloutRecord:
        """Hand the problem out, have it played, and take what was captured."""
        body = self._stack.request(task.trajectory_id, task.instance, self._params)
        began = time.monotonic()
        answer = self._client.play(body)
        seconds = time.monotonic() - began
        trajectory = self._stack.simulator.trajectory(JOB_ARN, task.trajectory_id)
        record = record_of(
            task,
            answer,
            seconds,
            turns=captured.turns_of(trajectory),
            sampled=captured.sampled(trajectory),
            reports=captured.reports_of(trajectory),
        )
        # What is still open may be asked for again: by a rollout that outlived its request, the sweep.
        if not self._keep and trajectory.state != "open":
            self._stack.forget(JOB_ARN, task.trajectory_id)
        return record


class Evaluation:
    """A hosted model endpoint, sampled by a local or a deployed stack; there is no job.

    Args:
        region: of ``metadata``.
        stack: whose records have the turns; None for a deployed stack, whose records are its own.
    """

    def __init__(
        self,
        client: RolloutClient,
        model_endpoint: str,
        region: str,
        *,
        params: Mapping[str, Any] | None = None,
        model: str = "",
        stack: EmulatedStack | None = None,
    ) -> None:
        self._client, self._stack = client, stack
        self._more: dict[str, Any] = {"model_endpoint": model_endpoint}
        if params:
            self._more["inference_params"] = dict(params)
        if model:
            self._more["model_name"] = model
        self._region = region

    def play(self, task: Task) -> RolloutRecord:
        """Have one rollout played, and read its turns from the stack's records where they are ours."""
        metadata = {
            "job_arn": "",
            "trajectory_id": task.trajectory_id,
            "endpoint": "",
            "region": self._region,
        }
        body = {"instance": task.instance, "metadata": metadata, **self._more}
        began = time.monotonic()
        answer = self._client.play(body)
        seconds = time.monotonic() - began
        turns: list[TurnRecord] = []
        if self._stack is not None:
            kept = self._stack.stored("", task.trajectory_id)
            turns = captured.stored_turns(kept) if kept else []
            self._stack.forget("", task.trajectory_id)
        sampled = len(turns) or int(result_of(answer).get("turns") or 0)
        return record_of(task, answer, seconds, turns=turns, sampled=sampled, reports=[])


def result_of(answer: Answer) -> dict[str, Any]:
    """The rollout's result in an answer; empty where a problem carries none."""
    status, document = answer
    return document if status == 200 else document.get("result") or {}


def record_of(
    task: Task,
    answer: Answer,
    seconds: float,
    *,
    turns: list[TurnRecord],
    sampled: int,
    reports: list[str],
) -> RolloutRecord:
    """What is kept of one rollout."""
    status, document = answer
    result = result_of(answer)
    ready = status == 200 and result.get("status") == "ready"
    error = result.get("error")
    if error is None and not ready:
        error = error_of(status, document)
    return RolloutRecord(
        trajectory_id=task.trajectory_id,
        group=task.group,
        member=task.member,
        instance=task.instance,
        status="ready" if ready else "failed",
        reward=result.get("reward") if ready else None,
        rewards=result.get("rewards") if ready else None,
        error=error,
        http_status=status,
        seconds=round(seconds, 4),
        metrics=result.get("metrics") or {},
        output=result.get("output"),
        turns=turns,
        sampled=sampled,
        turns_answered=int(result.get("turns") or 0),
        reports=reports,
    )
