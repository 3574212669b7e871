"""A transport that carries an HTTP client's chat-completions requests onto ``Episode.sample``.

The client is one of ``httpx`` or of ``httpx2``, its successor, which are alike in all that is used here.
Nothing goes over a network. A request with ``stream: true`` is sampled whole and told in chunks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from rollout.contract import parse_json
from rollout.errors import AgentError, MalformedRequest
from rollout.reply import Message, Reply

BASE_URL = "http://policy.invalid/v1"
CHAT = "/chat/completions"
# What belongs to the wire, not to the turn; the trainer decides which model answers.
_NOT_SENT = ("messages", "tools", "model", "stream", "stream_options")


class Sampler(Protocol):
    """What a transport needs of an episode."""

    def sample(self, messages: Sequence[Message], *, tools: Sequence[Any], **params: Any) -> Reply:
        """Sample one turn; see :meth:`rollout.episode.Episode.sample`."""
        ...


def transport(episode: Sampler, http: Any) -> Any:
    """What carries a synchronous client's requests; a RolloutError of the episode is raised through it.

    Args:
        episode: samples them.
        http: the client's library, ``httpx`` or ``httpx2``.
    """

    def answer(request: Any) -> Any:
        return _answer(http, episode, request.url.path, request.content)

    # The name speaks of tests; it is the library's public way to answer requests by a function.
    return http.MockTransport(answer)


def async_transport(episode: Sampler, http: Any) -> Any:
    """As :func:`transport`, for an asynchronous client: each request on a thread."""

    async def answer(request: Any) -> Any:
        return await asyncio.to_thread(_answer, http, episode, request.url.path, request.content)

    return http.MockTransport(answer)


def sample_request(episode: Sampler, request: Any) -> dict[str, Any]:
    """Sample the turn that a chat-completions request asks for.

    Args:
        request: the request's JSON.

    Returns:
        The chat completion as the policy gave it, each of its calls with an id. What the policy left out
        and clients require (``id``, ``created``, a sum of tokens …) is filled in.

    Raises:
        AgentError: it is not a chat-completions request.
    """
    try:
        messages = request["messages"]
        rest = {name: value for name, value in request.items() if name not in _NOT_SENT}
        tools = request.get("tools") or ()
    except (KeyError, TypeError, AttributeError):
        raise AgentError(
            "The framework sent something that is no chat-completions request."
        ) from None
    if not _are_objects(messages) or not _are_objects(tools):
        raise AgentError("A request's messages and tools must be lists of objects.")
    return _filled_in(episode.sample(messages, tools=tools, **rest))


def wants_usage(request: Mapping[str, Any]) -> bool:
    """Whether a streamed request asks for its usage (OpenAI's API reference, ``include_usage``)."""
    options = request.get("stream_options")
    return isinstance(options, dict) and bool(cast("dict[str, Any]", options).get("include_usage"))


def chunks(completion: Mapping[str, Any], *, usage: bool = True) -> bytes:
    """A chat completion as the server-sent events of a streamed one.

    Args:
        usage: whether its usage comes last, in a chunk without choices, which not every client reads.
    """
    head = {k: completion.get(k) for k in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    lines: list[str] = []
    for choice in completion["choices"]:
        message = choice["message"]
        calls = [{"index": i, **call} for i, call in enumerate(message.get("tool_calls") or [])]
        delta = {**message, "tool_calls": calls} if calls else message
        for part, reason in ((delta, None), ({}, choice.get("finish_reason") or "stop")):
            chunk = {"index": choice.get("index", 0), "delta": part, "finish_reason": reason}
            lines.append(json.dumps({**head, "choices": [chunk]}))
    if usage and completion.get("usage"):
        lines.append(json.dumps({**head, "choices": [], "usage": completion["usage"]}))
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def _answer(http: Any, episode: Sampler, path: str, body: bytes) -> Any:
    if not path.endswith(CHAT):
        message = f"An episode answers {CHAT} only, not {path}; use the chat-completions API."
        return http.Response(404, json={"error": {"message": message, "type": "not_found"}})
    try:
        request = parse_json(body)
    except MalformedRequest as error:
        raise AgentError(
            f"The framework sent a request that cannot be read: {error.detail}"
        ) from None
    completion = sample_request(episode, request)
    if request.get("stream"):
        headers = {"content-type": "text/event-stream"}
        return http.Response(
            200, headers=headers, content=chunks(completion, usage=wants_usage(request))
        )
    return http.Response(200, json=completion)


def _are_objects(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(each, dict) for each in cast("list[Any]", value)
    )


def _filled_in(reply: Reply) -> dict[str, Any]:
    """The chat completion of a reply, with the fields that strictly typed clients require of one."""
    completion = reply.completion()
    choice = completion["choices"][0]
    message = {"content": None, **choice["message"]}
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    told = completion.get("usage")
    usage = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    prompt, said = (reply.usage.get(f"{kind}_tokens", 0) for kind in ("prompt", "completion"))
    usage = {**usage, "prompt_tokens": prompt, "completion_tokens": said}
    created = completion.get("created")
    return {
        **completion,
        "id": completion.get("id") or "chatcmpl-episode",
        "object": "chat.completion",
        "created": created if isinstance(created, int) else int(time.time()),
        "model": completion.get("model") or "policy",
        "choices": [
            {
                **choice,
                "index": 0,
                "message": message,
                "finish_reason": choice.get("finish_reason") or reason,
            }
        ],
        "usage": {**usage, "total_tokens": prompt + said},
    }
