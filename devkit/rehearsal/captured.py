"""From what the simulated platform captured to what a rehearsal keeps."""

from __future__ import annotations

from typing import Any

from devkit.emulator.job_runtime import CapturedTurn, Trajectory
from devkit.rehearsal.run_files import TurnRecord
from rollout.conversation import Message, shared


def turns_of(trajectory: Trajectory) -> list[TurnRecord]:
    """The captured turns, each as what it added to the one before."""
    turns: list[TurnRecord] = []
    before: list[Message] = []
    for captured in trajectory.turns:
        messages = captured.request.get("messages", [])
        repeated = shared(before, messages)
        turns.append(_turn(captured, messages[repeated:], repeated))
        before = messages
    return turns


def stored_turns(document: dict[str, Any]) -> list[TurnRecord]:
    """The turns of a trajectory as our own records keep it, for rollouts nobody captured."""
    found: list[TurnRecord] = []
    for turn in document["turns"]:
        answer = turn["reply"]
        found.append(
            TurnRecord(
                messages=turn["messages"],
                repeated=turn["repeated"],
                params=turn["params"],
                seconds=round(turn["seconds"], 4),
                **_answer(answer),
            )
        )
    return found


def reports_of(trajectory: Trajectory) -> list[str]:
    """Operation and status of each report that reached the platform, e.g. ``UpdateReward 200``."""
    return [f"{report.operation} {report.status}" for report in trajectory.reports]


def sampled(trajectory: Trajectory) -> int:
    """Turns that were captured; where there are none, 1 if one was asked for and refused."""
    asked = any(name.startswith("Sample") for name in trajectory.calls)
    return len(trajectory.turns) or int(asked)


def _turn(captured: CapturedTurn, added: list[Message], repeated: int) -> TurnRecord:
    params = {k: v for k, v in captured.request.items() if k != "messages"}
    return TurnRecord(
        messages=added,
        repeated=repeated,
        params=params,
        seconds=round(captured.seconds, 4),
        **_answer(captured.response),
    )


def _answer(completion: dict[str, Any]) -> dict[str, Any]:
    """Message, finish reason and usage of a chat completion, whatever shape a policy gave it."""
    try:
        choice = completion["choices"][0]
        message = {"role": "assistant", **choice["message"]}
    except (KeyError, IndexError, TypeError):
        return {"message": {"role": "assistant", "content": None}}
    usage: dict[str, Any] = completion.get("usage") or {}
    return {
        "message": message,
        "finish_reason": str(choice.get("finish_reason") or ""),
        "usage": {k: v for k, v in usage.items() if type(v) is int and v >= 0},
    }
