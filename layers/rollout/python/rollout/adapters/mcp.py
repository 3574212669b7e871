"""Tools of a Model Context Protocol server, through the official SDK."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any

from rollout.adapters.packages import needed
from rollout.backoff import Backoff
from rollout.errors import ToolBroken
from rollout.tools import Tool
from rollout.values import json_text

# Attempts to connect, and the seconds between them.
_ATTEMPTS = 3
_PAUSES = Backoff(first=0.25, longest=2.0, factor=4.0, least=0.5)
# What OpenAI's pattern for a function's name does not have: [a-zA-Z0-9_-]{1,64}.
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
_INVALID_PARAMS = -32602  # JSON-RPC's code for arguments the tool does not take


class mcp:  # noqa: N801 - used as ``with mcp("…") as tools``
    """Connects to an MCP server for the length of a ``with`` block.

    Example::

        reply = episode.converse(question, tools=mcp("https://tools.example.com/mcp"))

        with mcp("https://tools.example.com/mcp") as tools:  # one connection, several conversations
            first = episode.converse(question, tools=tools)

    A tool that answers with an error has refused: the model reads it. A server that is gone or slow is
    broken infrastructure, as with any tool: connecting is tried again, twice, as a call is.

    Names that chat-completions servers refuse (``files.read``) are offered with ``_`` in place of what
    they refuse, and called by their own.

    Args:
        server: the URL of a streamable HTTP server, or what the SDK's ``Client`` takes besides (a
            transport, a server object in a test).
        timeout: seconds for connecting and for each call.
    """

    def __init__(self, server: Any, *, timeout: float = 30.0) -> None:
        self._sdk = needed("mcp", "mcp")
        self._server = server
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._ready: Future[list[Tool]] = Future()
        self._done: asyncio.Event | None = None
        self._session: Future[None] | None = None

    def __enter__(self) -> list[Tool]:
        self._thread.start()
        try:
            for attempt in range(1, _ATTEMPTS):
                try:
                    return self._connect()
                except ToolBroken:
                    time.sleep(_PAUSES.pause(attempt))
            return self._connect()
        except BaseException:
            self.__exit__()
            raise

    def _connect(self) -> list[Tool]:
        self._ready = Future()
        self._session = asyncio.run_coroutine_threadsafe(self._connected(), self._loop)
        return self._wait(self._ready, "connecting")

    def __exit__(self, *_: object) -> None:
        if self._done is not None:
            self._loop.call_soon_threadsafe(self._done.set)
        if self._session is not None:
            try:
                self._session.result(self._timeout)
            except Exception:  # noqa: BLE001 - it is over; what broke was told where it mattered
                self._session.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._timeout)
        if not self._loop.is_running():
            self._loop.close()

    async def _connected(self) -> None:
        """Hold the connection until the block ends; the task that opens it must close it."""
        self._done = asyncio.Event()
        try:
            async with self._sdk.Client(self._server) as client:
                self._ready.set_result(await self._listed(client))
                await self._done.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _listed(self, client: Any) -> list[Tool]:
        """All tools, page by page; a server that gives a page twice has no more."""
        found: list[Any] = []
        cursor, seen = None, set[str]()
        while cursor not in seen:
            if cursor is not None:
                seen.add(cursor)
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        names = _offered([tool.name for tool in found])
        return [self._tool(client, tool, name) for tool, name in zip(found, names, strict=True)]

    def _tool(self, client: Any, listed: Any, name: str) -> Tool:
        def call(arguments: str) -> Any:
            sent = json.loads(arguments or "{}")
            if not isinstance(sent, dict):
                raise ValueError("the arguments are not a JSON object")
            return self._result(self._run(client.call_tool(listed.name, sent), listed.name))

        return Tool(
            name=name,
            description=listed.description or "",
            parameters=dict(listed.input_schema),
            call=call,
        )

    def _run(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        try:
            return self._wait(asyncio.run_coroutine_threadsafe(work, self._loop), f"tool {name!r}")
        except ToolBroken as broken:
            error: Any = broken.__cause__
            if isinstance(error, self._sdk.MCPError) and error.code == _INVALID_PARAMS:
                raise ValueError(str(error)) from None  # the model's mistake
            raise

    def _wait(self, future: Future[Any], what: str) -> Any:
        try:
            return future.result(self._timeout)
        except Exception as error:
            future.cancel()
            raise ToolBroken(
                f"The MCP server failed while {what}: {type(error).__name__}."
            ) from error

    @staticmethod
    def _result(answer: Any) -> str:
        parts = [_content(part) for part in answer.content]
        structured = answer.structured_content
        # Where there is text it says the same, by the protocol; alone it is all there is.
        if structured is not None and not any(part.type == "text" for part in answer.content):
            parts.append(json_text(structured))
        text = "\n".join(part for part in parts if part)
        if answer.is_error:
            raise ValueError(text or "the tool refused")
        return text


def _content(part: Any) -> str:
    """One part of a result as text; what is no text is named with where it is."""
    if part.type == "text":
        return part.text
    if part.type == "resource":
        resource = part.resource
        if getattr(resource, "text", None) is not None:
            return resource.text
        kind = resource.mime_type or "unknown type"
        return f"[{resource.uri}: {kind}, base64] {resource.blob}"
    if part.type == "resource_link":
        link = {"uri": str(part.uri), "name": part.name, "title": part.title,
                "description": part.description, "mime_type": part.mime_type}  # fmt: skip
        return json_text({name: value for name, value in link.items() if value})
    return f"[{part.type}: {getattr(part, 'mime_type', '')}]"


def _offered(names: list[str]) -> list[str]:
    """Names that every chat-completions server takes, told apart where they come out equal."""
    made: list[str] = []
    for name in names:
        plain = _REFUSED.sub("_", name)[:_LONGEST_NAME] or "tool"
        found, count = plain, 1
        while found in made or (found != name and found in names):
            count += 1
            found = f"{plain[: _LONGEST_NAME - 4]}_{count}"
        made.append(found)
    return made
