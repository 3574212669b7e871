"""One sampled turn, as the policy's server wrote it: whole, or as a stream of chunks.

Servers that speak chat completions differ in what they leave out, repeat and add. Read leniently is what
can have one meaning only; what cannot, and what says that the turn failed, is a BadReply. Nothing in a
reply is taken on trust.

What is sent back in the next turn is the message as the protocol has it: without the fields that strict
servers refuse from an assistant (``null``, empty ``tool_calls``, annotations), every call with an id of
its own and with arguments that are a JSON object, for templates read them as one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from rollout.contract import parse_json
from rollout.errors import BadReply, MalformedRequest
from rollout.streams import assemble
from rollout.thoughts import spoken
from rollout.tools import ToolCall

Message = dict[str, Any]

# More tokens than any turn has; a count beyond it is no count.
_MOST_TOKENS = 1_000_000_000
# Ends of a turn that are no end of the model's: vLLM and SGLang aborting it, a gateway's upstream error,
# a server that ran out of resources (DeepSeek, Moonshot, Zhipu name them so).
_FAILED = frozenset(
    ("error", "abort", "aborted", "cancelled", "failed", "network_error", "model_error",
     "engine_overloaded", "insufficient_system_resource"),
)  # fmt: skip
# Of an assistant's message, what a server takes back.
_KEPT = ("refusal", "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
# Where reasoning stands that is not in the text.
_REASONING = ("reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled turn.

    Args:
        message: the assistant's message, ready to append to ``messages``.
        finish_reason: ``stop``, ``length``, ``tool_calls`` …
        usage: token counts as the policy reports them; empty if it does not.
        raw: the whole chat completion as the policy wrote it.
        conversation: the messages up to and with this reply, where ``converse`` returned it; append
            the user's next message and go on.
        calls: the tool calls as the policy wrote them, where they differ from the message's.
    """

    message: Message
    finish_reason: str
    usage: dict[str, int]
    raw: dict[str, Any]
    conversation: list[Message] = field(default_factory=list[Message])
    calls: tuple[ToolCall, ...] | None = None

    @property
    def text(self) -> str:
        """What the reply says, without what the policy thought; empty if it only calls tools."""
        return spoken(_text(self.message.get("content"))).said

    @property
    def thoughts(self) -> str:
        """The policy's reasoning, from a field of its own or from the marks in the text."""
        content = self.message.get("content")
        apart = [self.message.get(name) for name in _REASONING]
        parts = [
            *(part for part in apart if isinstance(part, str)),
            *_thinking(content),
            spoken(_text(content)).thoughts,
        ]
        return "\n".join(dict.fromkeys(part for part in parts if part))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls the policy made; whatever is misshapen in one reads as empty text."""
        if self.calls is not None:
            return list(self.calls)
        return _read_calls(self.message.get("tool_calls"))

    def completion(self) -> dict[str, Any]:
        """The chat completion for a framework: as the policy wrote it, each call with an id."""
        choice = self.raw["choices"][0]
        message = {**choice["message"], "role": "assistant"}
        if self.calls:
            message["tool_calls"] = [_call(call, call.arguments) for call in self.calls]
        return {**self.raw, "choices": [{**choice, "message": message}]}


def read_reply(data: bytes, tools: Collection[str] = (), turn: int = 0) -> Reply:
    """Read a chat completion, or the server-sent events of a streamed one.

    Args:
        data: UTF-8.
        tools: names of the tools that were offered; they tell streamed calls without an id apart.
        turn: number of the turn; with the data it makes the ids of calls that have none.

    Raises:
        BadReply: it is neither, was cut off, or says that the turn failed.
    """
    try:
        raw = _parsed(data, tools)
        choice: Any = raw["choices"][0]
        message = cast("Message", choice["message"])
        if not isinstance(cast("Any", message), dict):
            raise TypeError
    except MalformedRequest:
        raise BadReply("The policy's reply is not valid JSON.") from None
    except (KeyError, IndexError, TypeError):
        raise BadReply("The policy's reply has no choices[0].message.") from None
    try:
        json.dumps(raw, allow_nan=False)
    except ValueError:  # 1e999 is JSON and infinite; no later request and no record could hold it
        raise BadReply("The policy's reply holds a number that is out of range.") from None
    reason = str(choice.get("finish_reason") or "")
    if choice.get("error") or reason.lower() in _FAILED:
        _failed()
    calls = _with_ids(_read_calls(message.get("tool_calls")), data, turn)
    return Reply(
        _sent_back(message, calls),
        reason,
        _usage(raw),
        raw,
        calls=tuple(calls),
    )


def normal(message: Message) -> Message:
    """A message by what it says: equal for a reply and for the same message sent back by a framework.

    Fields that are null or empty do not count, nor does whether a text is a string or a list of one text
    part, nor how the arguments of a call are spaced.
    """
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(part) for part in cast("list[Any]", content)]
        plain = all(part.keys() <= {"type", "text"} for part in parts)
        content = _text(cast("list[Any]", content)) if plain else parts
    made = {k: v for k, v in message.items() if v not in (None, "", [], {})}
    made.pop("content", None)
    made.pop("tool_calls", None)
    if content:
        made["content"] = content
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        made["tool_calls"] = [
            [call.id, call.name, arguments_of(call.arguments)] for call in _read_calls(calls)
        ]
    return made


def arguments_of(text: str) -> Any:
    """A call's arguments as the JSON they are, else as the text."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


def _parsed(data: bytes, tools: Collection[str]) -> dict[str, Any]:
    """The completion; a stream is told from one by its first character."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    raw: Any = None
    if start[:1] not in (b"{", b"[", b'"') and b":" in start[:4096]:
        raw = assemble(data, tools)
    else:
        try:
            raw = parse_json(start)
        except MalformedRequest:
            if b"\n{" not in start:  # else chunks as JSON lines
                raise
            raw = assemble(data, tools)
    if _object(raw).get("error"):
        _failed()
    return cast("dict[str, Any]", raw)


def _failed() -> NoReturn:
    raise BadReply(
        "The policy's server answered 200 and says that the turn failed (an error in the reply, or a "
        "finish_reason such as error or abort)."
    )


def _text(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    texts = [_part(part).get("text") for part in _list(content)]
    return "".join(text for text in texts if isinstance(text, str))


def _thinking(content: Any) -> Iterator[str]:
    """The reasoning among the parts of a content (Mistral's and Anthropic's form)."""
    for part in map(_part, _list(content)):
        yield _text(part.get("thinking", part.get("reasoning")))


def _part(part: Any) -> dict[str, Any]:
    """A content part; bare strings are text, as some servers write them."""
    return {"type": "text", "text": part} if isinstance(part, str) else _object(part)


def _read_calls(calls: Any) -> list[ToolCall]:
    found: list[ToolCall] = []
    for call in map(_object, _list(calls)):
        function = _object(call.get("function"))
        arguments = function.get("arguments")
        if arguments is None:  # of a tool without parameters
            arguments = "{}"
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        found.append(ToolCall(str(call.get("id") or ""), str(function.get("name") or ""), text))
    return found


def _with_ids(calls: list[ToolCall], data: bytes, turn: int) -> list[ToolCall]:
    """Calls that have an id each; nine letters and digits, which the strictest server takes."""
    seen: set[str] = set()
    made: list[ToolCall] = []
    # Hashed once: a reply may hold tens of thousands of calls.
    reply = b""
    for place, call in enumerate(calls):
        identifier = call.id
        if not identifier or identifier in seen:
            reply = reply or hashlib.sha256(data).digest()
            text = f"{turn}/{place}/".encode() + reply
            identifier = hashlib.sha256(text).hexdigest()[:9]
        seen.add(identifier)
        made.append(ToolCall(identifier, call.name, call.arguments))
    return made


def _sent_back(message: Message, calls: list[ToolCall]) -> Message:
    """A reply's message as the next request may hold it. The policy speaks for nobody else."""
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in map(_part, cast("list[Any]", content)) if _says(part)]
    elif not isinstance(content, str):
        content = None
    if not content and not calls:
        content = ""
    made: Message = {"role": "assistant", "content": content or (None if calls else "")}
    made |= {name: message[name] for name in _KEPT if message.get(name)}
    if calls:
        made["tool_calls"] = [_call(call, _arguments(call.arguments)) for call in calls]
    return made


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def sendable(message: Any) -> Any:
    """An assistant's message as strict servers take it, whoever wrote it; any other as it is.

    Clients send back what they read: ``refusal: null``, ``tool_calls: []``, a call whose arguments are
    null or no JSON. Servers refuse the whole conversation for one of these.
    """
    known = _object(message)
    if known.get("role") != "assistant":
        return message
    made = {k: v for k, v in known.items() if v not in (None, [], {}) and k != "tool_calls"}
    calls = [_sendable_call(_object(call)) for call in _list(known.get("tool_calls"))]
    if isinstance(known.get("content"), list):
        made["content"] = [part for part in _list(known["content"]) if _says(_part(part))]
    made.setdefault("content", None if calls else "")
    return {**made, "tool_calls": calls} if calls else made


def _sendable_call(call: dict[str, Any]) -> dict[str, Any]:
    function = _object(call.get("function"))
    arguments = function.get("arguments")
    text = (
        arguments
        if isinstance(arguments, str)
        else json.dumps({} if arguments is None else arguments)
    )
    kept = {k: v for k, v in call.items() if v is not None}
    return {"type": "function", **kept, "function": {**function, "arguments": _arguments(text)}}


def _says(part: dict[str, Any]) -> bool:
    """Whether a content part holds anything; a text part may be null."""
    return bool(part) and (part.get("type", "text") != "text" or isinstance(part.get("text"), str))


def _arguments(text: str) -> str:
    """Arguments as templates read them; what is no object is kept as text inside one."""
    value = arguments_of(text)
    if isinstance(value, dict):
        return text or "{}"
    return json.dumps({"malformed": text}, ensure_ascii=False)


def _usage(raw: dict[str, Any]) -> dict[str, int]:
    usage = raw.get("usage")
    if not isinstance(usage, dict):
        return {}
    known = cast("dict[str, Any]", usage)
    return {k: v for k, v in known.items() if type(v) is int and 0 <= v <= _MOST_TOKENS}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
