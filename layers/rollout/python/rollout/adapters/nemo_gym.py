"""Resources servers of NeMo Gym as agents: tools and verification over HTTP, a session for each episode.

The protocol is read from nemo-gym 0.4 (``base_resources_server.py`` and its ``simple_agent``):
``/seed_session`` with the row, a POST to ``/NAME`` for each tool call, ``/verify`` with the row and the
response, a cookie that holds the session. Rows and responses are of OpenAI's Responses API; turns here
are chat completions, and are written as a response for the verifier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from http.client import HTTPException
from http.cookiejar import CookieJar
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPCookieProcessor,
    HTTPRedirectHandler,
    OpenerDirector,
    Request,
    build_opener,
)

from rollout.agent import Outcome, agent
from rollout.episode import Episode
from rollout.errors import AgentError, DeadlineError, ToolBroken
from rollout.reply import Message, Reply
from rollout.tools import ToolCall
from rollout.values import json_text

# What a request of a row may hold besides messages and tools that a chat completion knows as well.
_PARAMS = ("temperature", "top_p", "tool_choice", "parallel_tool_calls")
_LARGEST = 50_000_000  # bytes of an answer
# A tool's name is a path on the server; these are its own.
_RESERVED = frozenset({"seed_session", "verify", "aggregate_metrics", "mcp"})
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NUMBERS = (bool, int, float)


def nemo_gym(
    url: str,
    *,
    max_steps: int | None = None,
    timeout: float = 30.0,
    headers: Callable[[], Mapping[str, str]] = dict,
    replay: bool = True,
) -> Callable[[Any], Any]:
    """An agent that plays rows of NeMo Gym with the tools and the verifier of a resources server.

    Args:
        url: of the server.
        max_steps: turns after which what was reached is verified.
        timeout: seconds for each request.
        headers: sent with each request, asked for at the beginning of an episode.
        replay: False where to call the tools twice does harm: a rollout that goes on after a crash calls
            them again in a session of its own.

    Raises:
        AgentError: the URL is none of http or https.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise AgentError(
            f"{url!r} is no URL of a NeMo Gym server; it begins with http:// or https://."
        )

    @agent(replay=replay)
    def play(episode: Episode) -> Outcome:
        row = episode.instance
        asked = _asked(row)
        server = _Session(url.rstrip("/"), timeout, dict(headers()))
        server.post("seed_session", row)
        spoken = _converse(episode, asked, server, max_steps)
        verified = server.post("verify", {**row, "response": _response(asked, spoken)})
        reward = verified.get("reward")
        if not isinstance(reward, _NUMBERS):
            raise ToolBroken("The NeMo Gym server verified without a reward.")
        known = {*row, "responses_create_params", "response", "reward"}
        metrics = {
            name: float(value)
            for name, value in verified.items()
            if name not in known and isinstance(value, _NUMBERS)
        }
        return Outcome(float(reward), metrics)

    return play


class _NoRedirect(HTTPRedirectHandler):
    """Follows none: the headers are for the named host alone."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Leave the answer as it is, a failure."""
        del req, fp, code, msg, headers, newurl


class _Session:
    """A session of a server, held by its cookie.

    Args:
        url: without a slash at its end.
    """

    def __init__(self, url: str, timeout: float, headers: dict[str, str]) -> None:
        self._url = url
        self._timeout = timeout
        self._headers = {"content-type": "application/json", **headers}
        self._http: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()), _NoRedirect())

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """Ask the server for what must be well.

        Raises:
            ToolBroken: it is gone or slow, or answers with an error or no JSON object.
        """
        status, text = self.call(path, body)
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if status != 200 or not isinstance(told, dict):
            raise ToolBroken(f"The NeMo Gym server answered /{path} with {status}.")
        return cast("dict[str, Any]", told)

    def call(self, path: str, body: Any) -> tuple[int, str]:
        """Send one request, once; status and text of its answer.

        Raises:
            ToolBroken: the server is gone or slow.
        """
        data = json_text(body).encode()
        request = Request(f"{self._url}/{quote(path)}", data, self._headers, method="POST")  # noqa: S310 - http or https, see nemo_gym
        try:
            try:
                with self._http.open(request, timeout=self._timeout) as answer:
                    return answer.status, answer.read(_LARGEST).decode(errors="replace")
            except HTTPError as error:
                return error.code, error.read(_LARGEST).decode(errors="replace")
        except (URLError, OSError, HTTPException) as error:
            raise ToolBroken(
                f"The NeMo Gym server failed at /{path}: {type(error).__name__}."
            ) from error

    def tool(self, call: ToolCall, offered: frozenset[str]) -> str:
        """What a tool says to a call; an answer of 4xx is for the policy to read.

        Raises:
            ToolBroken: the server is gone, slow or answers with 5xx.
        """
        if call.name not in offered or call.name in _RESERVED or not _NAME.fullmatch(call.name):
            return json_text({"error": f"there is no tool {call.name[:64]!r}"})
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError as error:
            return json_text({"error": f"Invalid tool call arguments: {type(error).__name__}"})
        status, text = self.call(call.name, arguments)
        if status >= 500:
            raise ToolBroken(f"A tool of the NeMo Gym server answered with {status}.")
        return text


def _converse(
    episode: Episode, asked: Mapping[str, Any], server: _Session, max_steps: int | None
) -> list[Any]:
    """Converse until the policy answers without a call; what was said and done, as Responses items."""
    messages = _messages(asked["input"])
    tools = [_chat_tool(tool) for tool in asked.get("tools") or ()]
    offered = frozenset(tool["function"]["name"] for tool in tools)
    params = {name: asked[name] for name in _PARAMS if asked.get(name) is not None}
    if not tools:
        params.pop("tool_choice", None)
        params.pop("parallel_tool_calls", None)
    spoken: list[Any] = []
    while max_steps is None or episode.turns < max_steps:
        try:
            reply = episode.sample(messages, tools=tools, **params)
        except DeadlineError:
            if not episode.turns:
                raise
            break  # what was reached is verified
        messages.append(reply.message)
        spoken += _said(reply, episode.turns)
        if not reply.tool_calls:
            break
        for call in reply.tool_calls:
            text = server.tool(call, offered)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
            spoken.append({"type": "function_call_output", "call_id": call.id, "output": text})
    return spoken


def _said(reply: Reply, turn: int) -> list[Any]:
    """A reply as items of a response."""
    items: list[Any] = []
    if reply.text or not reply.tool_calls:
        part: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": []}
        items.append(
            {"type": "message", "id": f"msg_{turn}", "role": "assistant", "status": "completed",
             "content": [part]}
        )  # fmt: skip
    items += [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments,
         "id": f"fc_{turn}_{place}", "status": "completed"}
        for place, call in enumerate(reply.tool_calls)
    ]  # fmt: skip
    return items


def _response(asked: Mapping[str, Any], spoken: list[Any]) -> dict[str, Any]:
    """What was said and done as a response of the Responses API."""
    return {
        "id": "resp_rollout", "created_at": 0.0, "model": "policy", "object": "response",
        "output": spoken, "parallel_tool_calls": bool(asked.get("parallel_tool_calls", True)),
        "tool_choice": asked.get("tool_choice") or "auto", "tools": list(asked.get("tools") or ()),
    }  # fmt: skip


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """The request that a row holds.

    Raises:
        AgentError: it holds none.
    """
    asked = row.get("responses_create_params")
    if not isinstance(asked, dict) or not isinstance(
        cast("dict[str, Any]", asked).get("input"), (str, list)
    ):
        raise AgentError(
            "The instance is no row of NeMo Gym's: it needs responses_create_params.input."
        )
    return cast("dict[str, Any]", asked)


def _messages(given: str | list[Any]) -> list[Message]:
    """The input of a request as chat messages.

    Raises:
        AgentError: it has an item that is no message.
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Message] = []
    for item in given:
        if item.get("type", "message") != "message":
            raise AgentError(
                f"A row's input has an item of type {str(item['type'])[:40]!r}; messages are played here."
            )
        role = "system" if item["role"] == "developer" else item["role"]
        messages.append({"role": role, "content": _content(item["content"])})
    return messages


def _content(given: Any) -> Any:
    """A message's content; parts of it are named otherwise in chat completions."""
    if isinstance(given, str):
        return given
    parts: list[Any] = []
    for part in given:
        if part["type"] == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            parts.append({"type": "text", "text": part["text"]})
    return parts


def _chat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function of the Responses API as chat completions offer it.

    Raises:
        AgentError: it is a tool of another kind.
    """
    if tool.get("type") != "function":
        raise AgentError("A row offers a tool that is no function; functions are played here.")
    known = {k: v for k, v in tool.items() if k in ("name", "description", "parameters", "strict")}
    return {"type": "function", "function": {k: v for k, v in known.items() if v is not None}}
