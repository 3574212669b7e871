"""A streamed chat completion as the whole one it tells part by part.

Server-sent events as the standard has them (comments, ``event:``, several ``data:`` lines, any line
ending), and JSON lines. A stream that was cut off, or that tells of an error, is a failed turn: a reply
that looks finished and is not would be scored.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from rollout.contract import parse_json
from rollout.errors import BadReply


def assemble(data: bytes, tools: Collection[str] = ()) -> dict[str, Any]:
    """The completion that a stream tells; the last ``finish_reason`` and ``usage`` count.

    Args:
        tools: names of the tools that were offered.

    Raises:
        BadReply: it tells of an error, or ends before its end.
        MalformedRequest: an event is not JSON.
        TypeError: it is misshapen.
    """
    raw: dict[str, Any] = {"object": "chat.completion"}
    choice = _Choice(tools)
    done = False
    for name, event in _events(data):
        if event == b"[DONE]":
            done = True
            continue
        chunk = _object(parse_json(event))
        if name == "error" or chunk.get("error"):
            raise BadReply("The stream of the policy's reply tells of an error; the turn failed.")
        raw |= {k: v for k, v in chunk.items() if k not in ("choices", "object") and v is not None}
        for part in map(_object, chunk.get("choices") or []):
            if part.get("index") in (0, None):
                choice.add(part)
    if not done and choice.reason is None:
        raise BadReply("The stream of the policy's reply was cut off before its end.")
    return {**raw, "choices": [choice.whole()]}


def _events(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and data of each event; the last one may lack its empty line."""
    name, lines = "", list[bytes]()
    for line in [*data.removeprefix(b"\xef\xbb\xbf").splitlines(), b""]:
        if not line.strip():
            if lines:
                yield name, b"\n".join(lines).strip()
            name, lines = "", []
        elif line.startswith(b"{"):  # JSON lines: a chunk each
            yield name, line
        else:
            key, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if key == b"data":
                # Servers that leave out the empty line begin a new event with each line.
                if lines and _is_whole(lines):
                    yield name, b"\n".join(lines).strip()
                    lines = []
                lines.append(value)
            elif key == b"event":
                name = value.strip().decode("ascii", "replace")
            elif key == b"error":  # llama.cpp's field for one
                yield "error", value.strip()


def _is_whole(lines: list[bytes]) -> bool:
    """Whether the data lines of an event are complete as they stand."""
    text = b"\n".join(lines).strip()
    if not text or text == b"[DONE]":
        return True
    if not text.endswith(b"}"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Choice:
    """The first choice so far. Parts are joined once, at the end: adding each takes the square."""

    def __init__(self, tools: Collection[str]) -> None:
        self.reason: Any = None
        self._message: dict[str, Any] = {"role": "assistant", "content": None}
        self._texts: dict[str, list[str]] = {}
        self._lists: dict[str, list[Any]] = {}
        self._calls = _Calls(tools)
        self._logprobs: list[Any] = []
        self._error: Any = None

    def add(self, part: dict[str, Any]) -> None:
        delta = _object(part.get("delta")) or _object(part.get("message"))
        for key, value in delta.items():
            if key == "tool_calls":
                for call in map(_object, _list(value)):
                    self._calls.add(call)
            elif isinstance(value, str) and key != "role":
                self._texts.setdefault(key, []).append(value)
            elif isinstance(value, list):
                self._lists.setdefault(key, []).extend(cast("list[Any]", value))
            elif value is not None:
                self._message[key] = value
        self.reason = part.get("finish_reason") or self.reason
        self._error = part.get("error") or self._error
        self._logprobs += _list(_object(part.get("logprobs")).get("content"))

    def whole(self) -> dict[str, Any]:
        message = {**self._message, **self._lists}
        for key, parts in self._texts.items():
            text = "".join(parts)
            # A content may be told in parts and in text (Mistral thinks in parts, then says).
            found = self._lists.get(key)
            message[key] = [*found, {"type": "text", "text": text}] if found else text
        calls = self._calls.whole()
        if calls:
            message["tool_calls"] = calls
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": self.reason}
        if self._error:
            choice["error"] = self._error
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        return choice


@dataclass(slots=True)
class _Call:
    """A tool call so far; its name and arguments come in pieces.

    Args:
        named: whether the name is complete, which it is once arguments have come, empty ones too.
    """

    index: int | None
    id: str = ""
    type: str = "function"
    name: str = ""
    named: bool = False
    arguments: list[str] = field(default_factory=list[str])

    @property
    def empty(self) -> bool:
        """Whether no argument has come."""
        return not any(piece.strip() for piece in self.arguments)


class _Calls:
    """Tells streamed tool calls apart: by index, by id, and by a name that comes when one is complete.

    Servers give every call the index 0 or none, repeat id and name in each part, make a new id for each,
    or give none.
    """

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = tools
        self._calls: list[_Call] = []

    def add(self, part: dict[str, Any]) -> None:
        index = part.get("index")
        if index is not None and type(index) is not int:
            raise TypeError
        function = _object(part.get("function"))
        name, identifier = str(function.get("name") or ""), str(part.get("id") or "")
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call = self._of(index, identifier, name, more=bool(arguments))
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        call.id = call.id or identifier
        if isinstance(part.get("type"), str) and part["type"]:
            call.type = part["type"]
        if name != call.name:
            call.name += name
        if arguments is not None:
            call.named = True
            call.arguments.append(text)

    def whole(self) -> list[dict[str, Any]]:
        """The calls, by index where they have one."""
        calls = [call for place, call in enumerate(self._calls) if not self._is_echo(place)]
        return [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in sorted(calls, key=lambda call: call.index or 0)
        ]

    def _of(self, index: int | None, identifier: str, name: str, *, more: bool) -> _Call | None:
        """The call that a part goes on with; None where it begins one."""
        last = next((c for c in reversed(self._calls) if index is None or c.index == index), None)
        if identifier:
            known = next((c for c in self._calls if c.id == identifier), None)
            if known is not None and (index is None or known.index == index):
                return known
        if last is None or not last.name:
            return last
        if not name:  # without a name no call begins, but where an id is all there is to tell it by
            return None if identifier and last.id and index is None else last
        if identifier:
            return None
        return None if self._begins_another(last, name, more=more) else last

    def _begins_another(self, last: _Call, name: str, *, more: bool) -> bool:
        """Whether a name is another call's, and not the next piece or a repetition of the last one's."""
        if last.named and name == last.name:
            return not more if last.empty else _is_json(last.arguments)
        if last.named or name == last.name:
            return True
        return last.name in self._tools and name in self._tools

    def _is_echo(self, place: int) -> bool:
        """Whether a call is the name of its neighbour said once more, and nothing came of it."""
        call = self._calls[place]
        if call.id or not call.empty:
            return False
        neighbours = [self._calls[p] for p in (place - 1, place + 1) if 0 <= p < len(self._calls)]
        return any(
            n.name == call.name and n.index == call.index and not n.empty for n in neighbours
        )


def _is_json(pieces: list[str]) -> bool:
    try:
        json.loads("".join(pieces))
    except (ValueError, RecursionError):
        return False
    return True


def _list(value: Any) -> list[Any]:
    if isinstance(value, dict):  # one call, not in a list
        return [value]
    if value is not None and not isinstance(value, list):
        raise TypeError
    return cast("list[Any]", value or [])


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
