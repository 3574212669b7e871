"""A small HTTP server on loopback, for one episode. No framework: nothing of it is in the base layer."""

from __future__ import annotations

import contextvars
import json
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple, cast

# Bytes of a request: a conversation that nothing could sample.
_MOST_BODY = 20_000_000
# Seconds a client may take to send its request.
_READING = 60.0


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    data: bytes
    kind: str = "application/json"


Respond = Callable[[str, str, Mapping[str, str], bytes], Answer]


@contextmanager
def listening(respond: Respond) -> Generator[int]:
    """An HTTP server on 127.0.0.1 for the length of a ``with`` block.

    Args:
        respond: answers a method, path, headers (names in lower case) and body; from several threads.

    Returns:
        Its port.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.respond, server.context = respond, contextvars.copy_context()
    thread = Thread(target=server.serve, name="loopback", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.close()
        thread.join(5)


def error_answer(status: int, message: str, code: str) -> Answer:
    """An error as OpenAI's API words it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json_answer({"error": error}, status)


def json_answer(document: dict[str, Any], status: int = 200) -> Answer:
    """A JSON document as an answer."""
    return Answer(status, json.dumps(document, ensure_ascii=False).encode())


class _Server(ThreadingHTTPServer):
    """Waits without waking up; a process may hold hundreds of these."""

    daemon_threads = True
    request_queue_size = 128
    respond: Respond
    context: contextvars.Context
    _closed = False

    def serve(self) -> None:
        while not self._closed:
            self.handle_request()
        self.server_close()

    def close(self) -> None:
        self._closed = True
        try:  # a connection is what it waits for
            socket.create_connection(("127.0.0.1", self.server_port), 1).close()
        except OSError:
            self.server_close()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # What telemetry and frameworks keep in context variables is the agent's.
        self.context.copy().run(super().process_request_thread, request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that went away is its own business."""


class _TooLarge(Exception):
    """The request's body is larger than is read."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # for ``Expect: 100-continue``; every answer closes
    timeout = _READING
    # An answer goes out in one piece; in two the second would wait for the first one's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self._body(headers)
        except ValueError:
            answer = error_answer(400, "The request's length cannot be read.", "bad_request")
        except _TooLarge:
            message = f"A request has at most {_MOST_BODY} bytes."
            answer = error_answer(413, message, "too_large")
        else:
            answer = cast("_Server", self.server).respond(self.command, self.path, headers, body)
        self._send(answer)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the base class's names

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            return self._read(int(headers.get("content-length") or 0), 0)
        body = b""
        while size := int(self.rfile.readline(1_000).partition(b";")[0], 16):
            body += self._read(size, len(body))
            self.rfile.readline(10)
        while self.rfile.readline(1_000).strip():
            pass  # trailers
        return body

    def _read(self, size: int, before: int) -> bytes:
        if size < 0:
            raise ValueError
        if size + before > _MOST_BODY:
            raise _TooLarge
        return self.rfile.read(size)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status, HTTPStatus(answer.status).phrase)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.data)))
        self.send_header("Connection", "close")
        if answer.status >= 400:
            self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: a request line is no news."""
