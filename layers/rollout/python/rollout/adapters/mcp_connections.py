"""Connections to MCP servers, on an event loop of their own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, cast

from rollout.adapters.packages import needed
from rollout.backoff import Backoff
from rollout.errors import ToolBroken

T = TypeVar("T")

# Attempts to connect, and the seconds between them.
_ATTEMPTS = 3
_PAUSES = Backoff(first=0.25, longest=2.0, factor=4.0, least=0.5)


class Connections:
    """Connections to servers, each with a client of the SDK.

    Args:
        servers: as :class:`rollout.adapters.mcp.mcp` takes them.
        timeout: seconds for connecting to each, and for each call.
    """

    def __init__(self, servers: Sequence[Any], timeout: float) -> None:
        self.clients: list[Any] = []
        # Whether a call found a server gone or slow; set by who called.
        self.broken = False
        self._servers = servers
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._thread.start()
        self._sessions: list[tuple[asyncio.Event, Future[None]]] = []

    def open(self, ask: Callable[[int, Any], Coroutine[Any, Any, T]]) -> list[T]:
        """Connect to every server and ask it something; try each up to three times.

        Args:
            ask: takes the server's place and its client.

        Returns:
            What each answered.

        Raises:
            ToolBroken: one did not answer.
        """
        return [
            self._asked(server, partial(ask, place)) for place, server in enumerate(self._servers)
        ]

    def _asked(self, server: Any, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._connected(server, ask)
            except ToolBroken:
                time.sleep(_PAUSES.pause(attempt))
        return self._connected(server, ask)

    def run(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """Wait for what is asked of a client.

        Args:
            what: is done, for the error.

        Raises:
            ToolBroken: the server failed or did not answer in time.
            Refused: from ``work``.
        """
        return self._wait(asyncio.run_coroutine_threadsafe(work, self._loop), what)

    def close(self) -> None:
        """Close every connection, and end what was started; waits some seconds for each."""
        for done, session in self._sessions:
            self._loop.call_soon_threadsafe(done.set)
            try:
                session.result(self._timeout)
            except Exception:  # noqa: BLE001 - it is over; what broke was told where it mattered
                session.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._timeout)
        if not self._loop.is_running():
            self._loop.close()

    def _connected(self, server: Any, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        ready: Future[tuple[Any, T]] = Future()
        done = asyncio.Event()
        session = asyncio.run_coroutine_threadsafe(_hold(server, ask, ready, done), self._loop)
        self._sessions.append((done, session))
        client, answer = self._wait(ready, "connecting")
        self.clients.append(client)
        return answer

    def _wait(self, future: Future[T], what: str) -> T:
        try:
            return future.result(self._timeout)
        except Refused:
            raise
        except Exception as error:
            future.cancel()
            raise ToolBroken(
                f"The MCP server failed while {what}: {type(error).__name__}."
            ) from error


class Refused(ValueError):
    """A server answered that it will not do what it was asked; data for the model."""


async def _hold(
    server: Any,
    ask: Callable[[Any], Coroutine[Any, Any, T]],
    ready: Future[tuple[Any, T]],
    done: asyncio.Event,
) -> None:
    """Hold a connection until it is done with; the task that opens it must close it."""
    try:
        async with _client(server) as client:
            ready.set_result((client, await ask(client)))
            await done.wait()
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)
        raise


def _client(server: Any) -> Any:
    sdk = needed("mcp", "mcp")
    if isinstance(server, (list, tuple)):
        command, *arguments = cast("Sequence[str]", server)
        server = sdk.StdioServerParameters(command=command, args=arguments)
    if isinstance(server, sdk.StdioServerParameters):
        server = _started(sdk, server)
    return sdk.Client(server)


@asynccontextmanager
async def _started(sdk: Any, parameters: Any) -> AsyncGenerator[Any]:
    # What a server writes to its standard error may quote what it was asked, and would go to our log.
    with Path(os.devnull).open("w") as nowhere:  # noqa: ASYNC230 - opening it does not block
        async with sdk.stdio_client(parameters, errlog=nowhere) as streams:
            yield streams
