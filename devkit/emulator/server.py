"""An ASGI application served by uvicorn on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_IP_FREEBIND = 15  # <linux/in.h>


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class PortTaken(OSError):
    """A port that cannot be listened on; says which and why."""


def _listen(address: str, port: int) -> socket.socket:
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # asyncio does this for sockets it makes itself. Without, the second part of every answer on a
        # kept connection waits for the client's delayed acknowledgement: 40 ms a turn.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux" and address != "127.0.0.1":
            # A container engine makes its bridge, and so the address, with its first container.
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        made.bind((address, port))
        made.listen(2048)
    except (OSError, OverflowError) as error:
        made.close()
        why = error.strerror if isinstance(error, OSError) else "not a port number"
        raise PortTaken(f"port {port} of {address} cannot be used: {why}") from None
    return made


def _is_news(record: logging.LogRecord) -> bool:
    """Whether uvicorn's log says more than that a request was cut off because the server stops."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)


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
        address: a further address of this machine to listen on, such as the one that containers reach.

    Raises:
        PortTaken: somebody listens there already.
    """

    def __init__(self, app: Any, port: int = 0, address: str = "") -> None:
        self._sockets = [_listen("127.0.0.1", port)]
        self.port: int = self._sockets[0].getsockname()[1]
        if address:
            self._sockets.append(_listen(address, self.port))
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
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": self._sockets}, daemon=True
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
        self._thread.join(timeout=2)
        for each in self._sockets:
            each.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
