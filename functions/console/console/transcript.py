"""A stored trajectory as its page shows it: turns with what each added, calls and results by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, cast

from rollout.conversation import read

# Characters of one text that a page shows; the raw JSON has them all.
MOST_SHOWN = 8_000
# Turns on one page.
PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the policy wrote it; arguments that are JSON are laid out."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Line:
    """One message."""

    role: str
    text: str
    calls: list[Call] = field(default_factory=list[Call])
    name: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn.

    Args:
        number: from 1.
        repeated: messages of the turn before that it kept; None where it kept all of them.
        added: the messages it added to the conversation.
        reward: its own, where the rollout has one per turn.
    """

    number: int
    repeated: int | None
    added: list[Line]
    reply: Line
    finish: str
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None
    reward: float | None
    params: dict[str, Any]


def turns_of(document: dict[str, Any]) -> list[Turn]:
    """The turns of a trajectory's document; what is misshapen in it shows as its JSON."""
    turns = cast("list[dict[str, Any]]", document.get("turns") or [])
    rewards = cast("list[float]", document.get("result", {}).get("rewards") or [])
    each = rewards if len(rewards) == len(turns) > 1 else []
    names: dict[str, str] = {}
    asked = read((turn["repeated"], _list(turn["messages"])) for turn in turns)
    shown: list[Turn] = []
    for index, (turn, request) in enumerate(zip(turns, asked, strict=True)):
        choice = _object(next(iter(_list(_object(turn["reply"]).get("choices"))), None))
        usage = _object(_object(turn["reply"]).get("usage"))
        lines = [_line(message, names) for message in request.added]
        # Most turns begin by handing the last reply back; it stands just above already.
        handed_back = bool(shown and lines and lines[0] == shown[-1].reply)
        shown.append(
            Turn(
                number=index + 1,
                repeated=turn["repeated"] if request.dropped else None,
                added=lines[handed_back:],
                reply=_line({"role": "assistant", **_object(choice.get("message"))}, names),
                finish=str(choice.get("finish_reason") or ""),
                seconds=float(turn["seconds"]),
                prompt_tokens=_count(usage.get("prompt_tokens")),
                completion_tokens=_count(usage.get("completion_tokens")),
                reward=each[index] if each else None,
                params={k: v for k, v in _object(turn["params"]).items() if k != "tools"},
            )
        )
    return shown


def side_by_side(
    left: list[Turn], right: list[Turn]
) -> Iterator[tuple[Turn | None, Turn | None, bool]]:
    """Two trajectories' turns in pairs; the flag marks the first pair that says something else."""
    differs = False
    for one, other in zip_longest(left, right):
        same = one is not None and other is not None and _said(one) == _said(other)
        yield one, other, not (same or differs)
        differs = differs or not same


def _said(turn: Turn) -> tuple[list[Line], Line]:
    return turn.added, turn.reply


def _line(message: Any, names: dict[str, str]) -> Line:
    if not isinstance(message, dict):
        return Line("?", _json(message))
    known = cast("dict[str, Any]", message)
    calls: list[Call] = []
    for call in map(_object, _list(known.get("tool_calls"))):
        function = _object(call.get("function"))
        name = str(function.get("name") or "?")
        names[str(call.get("id"))] = name
        calls.append(Call(name, _arguments(function.get("arguments"))))
    role = str(known.get("role") or "?")
    name = names.get(str(known.get("tool_call_id")), "") if role == "tool" else ""
    reasoning = known.get("reasoning_content") or known.get("reasoning") or ""
    return Line(
        role,
        _text(known.get("content")),
        calls,
        name or str(known.get("name") or ""),
        _text(reasoning),
    )


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [_object(part) for part in _list(content)]
    if parts and all(isinstance(part.get("text"), str) for part in parts):
        return "".join(part["text"] for part in parts)
    return _json(content)


def _arguments(value: Any) -> str:
    if not isinstance(value, str):
        return _json(value)
    try:
        known = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return _json(known) if isinstance(known, (dict, list)) else value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _count(value: Any) -> int | None:
    return value if type(value) is int else None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
