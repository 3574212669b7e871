"""Answers a boto3 client in its own process: everything of the request is real but the wire.

botocore builds, signs and serializes a request, and asks its ``before-send`` event whether somebody
has the answer already; who is known here by the request's origin gives it. Everything else goes out
as ever. So a part of the stack has one address, and whether a socket is behind it is nobody's business.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

from botocore import handlers
from botocore.awsrequest import AWSResponse

from devkit.aws_session import default_session

Answer = tuple[int, Mapping[str, str], bytes]
# Method, URL, headers with names in lower case, body. May raise what botocore's HTTP session raises.
Answerer = Callable[[str, SplitResult, dict[str, str], bytes], Answer]

_EVENT = "before-send"
_answerers: dict[str, Answerer] = {}


class _Raw(io.BytesIO):
    """A body as urllib3 hands it on."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """The whole of it, in one piece."""
        if data := self.read():
            yield data


@contextmanager
def answering(url: str, answerer: Answerer) -> Generator[None]:
    """Answer every request of this process's boto3 clients to an origin, while the block lasts.

    Args:
        url: scheme, host and port.
    """
    _install()
    before = _answerers.get(url)
    _answerers[url] = answerer
    try:
        yield
    finally:
        if before is None:
            _answerers.pop(url, None)
        else:
            _answerers[url] = before


def _install() -> None:
    """Take part, once, in every session made from now on, and in boto3's own where there is one.

    Once: an event asks all that are registered, so that a request would be carried out twice.
    """
    registered: list[Any] = vars(handlers)["BUILTIN_HANDLERS"]
    if (_EVENT, _answer) in registered:
        return
    registered.append((_EVENT, _answer))
    session = default_session()
    if session is not None:
        session.events.register(_EVENT, _answer)


def _answer(request: Any, **_: Any) -> AWSResponse | None:
    where = urlsplit(str(request.url))
    answerer = _answerers.get(f"{where.scheme}://{where.netloc}")
    if answerer is None:
        return None
    headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
    body = request.body
    if body is None:
        data = b""
    elif isinstance(body, str):
        data = body.encode()
    else:
        if not isinstance(body, (bytes, bytearray)):
            body.seek(0)  # an attempt before this one may have read it
            body = body.read()
        data = body
    status, answered, content = answerer(request.method, where, headers, bytes(data))
    return AWSResponse(request.url, status, answered, _Raw(content))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
