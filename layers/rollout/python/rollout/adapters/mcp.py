"""Tools of a Model Context Protocol server, through the official SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any

from rollout.errors import ToolBroken
from rollout.tools import Tool

_INVALID_PARAMS = -32602  # JSON-RPC's code for arguments the tool does not take


class mcp:  # noqa: N801 - used as ``with mcp("…") as tools``
    """Connects to an MCP server for the length of a ``with`` block.

    Example::

        reply = episode.converse(question, tools=mcp("https://tools.example.com/mcp"))

        with mcp("https://tools.example.com/mcp") as tools:  # one connection, several conversations
            first = episode.converse(question, tools=tools)

    A tool that answers with an error has refused: the model reads it. A server that is gone or slow is
    broken infrastructure, as with any tool.

    Args:
        server: the URL of a streamable HTTP server, or what the SDK's ``Client`` takes besides (a
            transport, a server object in a test).
        timeout: seconds for connecting and for each call.
    """

    def __init__(self, server: Any, *, timeout: float = 30.0) -> None:
        self._server = server
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._ready: Future[list[Tool]] = Future()
        self._done: asyncio.Event | None = None
        self._session: Future[None] | None = None

    def __enter__(self) -> list[Tool]:
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(self._connected(), self._loop)
        try:
            return self._wait(self._ready, "connecting")
        except BaseException:
            self.__exit__()
            raise

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
        from mcp import Client

        self._done = asyncio.Event()
        try:
            async with Client(self._server) as client:
                listed = await client.list_tools()
                self._ready.set_result([self._tool(client, tool) for tool in listed.tools])
                await self._done.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def _tool(self, client: Any, listed: Any) -> Tool:
        def call(arguments: str) -> Any:
            sent = json.loads(arguments or "{}")
            if not isinstance(sent, dict):
                raise ValueError("the arguments are not a JSON object")
            return self._result(self._run(client.call_tool(listed.name, sent), listed.name))

        return Tool(
            name=listed.name,
            description=listed.description or "",
            parameters=dict(listed.input_schema),
            call=call,
        )

    def _run(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        from mcp import MCPError

        try:
            return self._wait(asyncio.run_coroutine_threadsafe(work, self._loop), f"tool {name!r}")
        except ToolBroken as broken:
            error = broken.__cause__
            if isinstance(error, MCPError) and error.code == _INVALID_PARAMS:
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
        parts = [getattr(part, "text", "") or f"[{part.type}]" for part in answer.content]
        if answer.is_error:
            raise ValueError("\n".join(parts) or "the tool refused")
        return "\n".join(parts)
