"""One sampled turn, as the policy's server wrote it: whole, or as a stream of chunks.

Nothing in a reply is taken on trust; what is misshapen reads as absent or raises BadReply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from rollout.contract import parse_json
from rollout.errors import BadReply, MalformedRequest
from rollout.tools import ToolCall

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled turn.

    Args:
        message: the assistant's message as the policy wrote it, ready to append to ``messages``.
        finish_reason: ``stop``, ``length``, ``tool_calls`` …
        usage: token counts as the policy reports them; empty if it does not.
        raw: the whole chat completion.
        conversation: the messages up to and with this reply, where ``converse`` returned it; append
            the user's next message and go on.
    """

    message: Message
    finish_reason: str
    usage: dict[str, int]
    raw: dict[str, Any]
    conversation: list[Message] = field(default_factory=list[Message])

    @property
    def text(self) -> str:
        """The reply's text; empty if it is made of tool calls only."""
        content = self.message.get("content")
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            return ""
        parts = [
            cast("dict[str, Any]", p) for p in cast("list[Any]", content) if isinstance(p, dict)
        ]
        return "".join(str(p.get("text", "")) for p in parts)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls the policy made; whatever is misshapen in one reads as empty text."""
        calls = self.message.get("tool_calls")
        found: list[ToolCall] = []
        for call in cast("list[Any]", calls) if isinstance(calls, list) else []:
            known = _object(call)
            function = _object(known.get("function"))
            arguments = function.get("arguments", "")
            found.append(
                ToolCall(
                    id=str(known.get("id") or ""),
                    name=str(function.get("name") or ""),
                    arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
                )
            )
        return found


def read_reply(data: bytes) -> Reply:
    """Read a chat completion, or the server-sent chunks of a streamed one.

    Raises:
        BadReply: it is neither.
    """
    try:
        raw = _assemble(data) if data.lstrip().startswith(b"data:") else parse_json(data)
        choice = raw["choices"][0]
        message = choice["message"]
        if not isinstance(message, dict):
            raise TypeError
    except MalformedRequest:
        raise BadReply("The policy's reply is not valid JSON.") from None
    except (KeyError, IndexError, TypeError):
        raise BadReply("The policy's reply has no choices[0].message.") from None
    message = {"role": "assistant", **cast("Message", message)}
    return Reply(message, str(choice.get("finish_reason") or ""), _usage(raw), raw)


def _assemble(data: bytes) -> dict[str, Any]:
    """A streamed reply as the completion it tells part by part.

    Text is joined, tool calls are merged by index, the last ``finish_reason`` and ``usage`` count.
    """
    raw: dict[str, Any] = {"object": "chat.completion"}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    reason: Any = None
    for chunk in _events(data):
        told = {k: v for k, v in chunk.items() if k not in ("choices", "object") and v is not None}
        raw |= told
        for choice in map(_object, chunk.get("choices") or []):
            if choice.get("index", 0) == 0:
                _add(message, calls, _object(choice.get("delta")))
                reason = choice.get("finish_reason") or reason
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**raw, "choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        event = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and event != b"[DONE]":
            yield _object(parse_json(event))


def _add(message: Message, calls: dict[int, dict[str, Any]], delta: dict[str, Any]) -> None:
    """Add one chunk's delta to the message and the tool calls so far."""
    for key, value in delta.items():
        if key == "tool_calls":
            for part in map(_object, value or []):
                _merge(calls.setdefault(int(part.get("index", 0)), {}), part)
        elif isinstance(value, str) and key != "role":
            message[key] = (message.get(key) or "") + value
        elif value is not None:
            message[key] = value


def _merge(call: dict[str, Any], part: dict[str, Any]) -> None:
    """Add one part of a streamed tool call; names and arguments come in pieces."""
    function = call.setdefault("function", {"name": "", "arguments": ""})
    for key in ("name", "arguments"):
        function[key] += str(_object(part.get("function")).get(key) or "")
    call |= {k: v for k, v in part.items() if k in ("id", "type") and v}


def _usage(raw: dict[str, Any]) -> dict[str, int]:
    usage = raw.get("usage")
    if not isinstance(usage, dict):
        return {}
    return {k: v for k, v in cast("dict[str, Any]", usage).items() if type(v) is int and v >= 0}


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
