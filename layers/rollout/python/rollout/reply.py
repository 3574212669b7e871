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

# More tokens than any turn has; a count beyond it is no count.
_MOST_TOKENS = 1_000_000_000


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
    try:
        json.dumps(raw, allow_nan=False)
    except ValueError:  # 1e999 is JSON and infinite; no later request and no record could hold it
        raise BadReply("The policy's reply holds a number that is out of range.") from None
    message = {**cast("Message", message), "role": "assistant"}  # it speaks for nobody else
    return Reply(message, str(choice.get("finish_reason") or ""), _usage(raw), raw)


def _assemble(data: bytes) -> dict[str, Any]:
    """A streamed reply as the completion it tells part by part.

    Text is joined, tool calls are merged by index, the last ``finish_reason`` and ``usage`` count.
    """
    raw: dict[str, Any] = {"object": "chat.completion"}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    # Parts are joined once, at the end: adding each to what there is takes the square of the reply.
    texts: dict[str, list[str]] = {}
    calls: dict[int, _StreamedCall] = {}
    reason: Any = None
    for chunk in _events(data):
        told = {k: v for k, v in chunk.items() if k not in ("choices", "object") and v is not None}
        raw |= told
        for choice in map(_object, chunk.get("choices") or []):
            if choice.get("index", 0) == 0:
                _add(message, texts, calls, _object(choice.get("delta")))
                reason = choice.get("finish_reason") or reason
    message |= {key: "".join(parts) for key, parts in texts.items()}
    if calls:
        message["tool_calls"] = [calls[index].whole() for index in sorted(calls)]
    return {**raw, "choices": [{"index": 0, "message": message, "finish_reason": reason}]}


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        event = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and event != b"[DONE]":
            yield _object(parse_json(event))


@dataclass(slots=True)
class _StreamedCall:
    """A tool call so far; its name and arguments come in pieces."""

    head: dict[str, Any] = field(default_factory=dict[str, Any])
    name: list[str] = field(default_factory=list[str])
    arguments: list[str] = field(default_factory=list[str])

    def add(self, part: dict[str, Any]) -> None:
        function = _object(part.get("function"))
        self.name.append(str(function.get("name") or ""))
        self.arguments.append(str(function.get("arguments") or ""))
        self.head |= {k: v for k, v in part.items() if k in ("id", "type") and v}

    def whole(self) -> dict[str, Any]:
        function = {"name": "".join(self.name), "arguments": "".join(self.arguments)}
        return {"function": function, **self.head}


def _add(
    message: Message,
    texts: dict[str, list[str]],
    calls: dict[int, _StreamedCall],
    delta: dict[str, Any],
) -> None:
    """Add one chunk's delta to the message, its texts and the tool calls so far."""
    for key, value in delta.items():
        if key == "tool_calls":
            for part in map(_object, value or []):
                index = part.get("index", 0)
                if type(index) is not int:
                    raise TypeError
                calls.setdefault(index, _StreamedCall()).add(part)
        elif isinstance(value, str) and key != "role":
            texts.setdefault(key, []).append(value)
        elif value is not None:
            message[key] = value


def _usage(raw: dict[str, Any]) -> dict[str, int]:
    usage = raw.get("usage")
    if not isinstance(usage, dict):
        return {}
    known = cast("dict[str, Any]", usage)
    return {k: v for k, v in known.items() if type(v) is int and 0 <= v <= _MOST_TOKENS}


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
