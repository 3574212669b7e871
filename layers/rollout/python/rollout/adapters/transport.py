"""A transport that carries an HTTP client's chat-completions requests onto ``Episode.sample``.

The client is one of ``httpx`` or of ``httpx2``, its successor, which are alike in all that is used here.
Nothing goes over a network. A request with ``stream: true`` is sampled whole and told in chunks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rollout.contract import parse_json
from rollout.errors import AgentError, MalformedRequest
from rollout.reply import Message, Reply

BASE_URL = "http://policy.invalid/v1"
_PATH = "/chat/completions"
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


def sample_body(episode: Sampler, body: bytes) -> dict[str, Any]:
    """Sample the turn that a chat-completions request asks for.

    Args:
        body: UTF-8 JSON.

    Returns:
        The chat completion as the policy gave it, each of its calls with an id.

    Raises:
        AgentError: the body is not a chat-completions request.
    """
    try:
        request = parse_json(body)
        messages = request["messages"]
    except (MalformedRequest, KeyError, TypeError):
        raise AgentError(
            "The framework sent something that is no chat-completions request."
        ) from None
    rest = {name: value for name, value in request.items() if name not in _NOT_SENT}
    return episode.sample(messages, tools=request.get("tools") or (), **rest).completion()


def chunks(completion: Mapping[str, Any]) -> bytes:
    """A chat completion as the server-sent events of a streamed one."""
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
    if completion.get("usage"):
        lines.append(json.dumps({**head, "choices": [], "usage": completion["usage"]}))
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def _answer(http: Any, episode: Sampler, path: str, body: bytes) -> Any:
    if not path.endswith(_PATH):
        message = f"An episode answers {_PATH} only, not {path}; use the chat-completions API."
        return http.Response(404, json={"error": {"message": message, "type": "not_found"}})
    completion = sample_body(episode, body)
    if json.loads(body).get("stream"):
        headers = {"content-type": "text/event-stream"}
        return http.Response(200, headers=headers, content=chunks(completion))
    return http.Response(200, json=completion)
