"""An ASGI application served by uvicorn on a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class _Protocol(H11Protocol):
    """Hands the transport to the application, which may want to drop a connection on purpose."""

    def connection_made(self, transport: Any) -> None:
        # asyncio does this only for sockets that name their protocol, which create_server's do not.
        # Without it every answer, written in two pieces, waits 40 ms for the client's delayed ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class Server:
    """Serves an application on loopback until it is stopped.

    Args:
        app: the ASGI application.
        port: 0 picks a free one.
    """

    def __init__(self, app: Any, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=2048)
        # asyncio does this for sockets it makes itself. Without, the second part of every answer on a
        # kept connection waits for the client's delayed acknowledgement: 40 ms a turn.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            app,
            http=_Protocol,
            interface="asgi3",
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def start(self) -> Self:
        """Start serving; returns once connections are accepted."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the local server did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving and close every connection."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
