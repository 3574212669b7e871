"""A client of the rollout endpoint that behaves as a trainer: asks, waits, asks again where allowed."""

from __future__ import annotations

import itertools
import time
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import httpx

from rollout.backoff import Backoff

_ACCEPTED = 202
_BUSY = (429, 503)
_ALREADY_RUNNING = "urn:rollout:problem:already-running"
# Between tries where the stack is busy or does not answer, and between questions for a rollout's state.
_RETRY = Backoff(first=1.0, longest=30.0, least=0.5)
_POLL = Backoff(first=0.2, longest=1.0, factor=1.5, least=0.5)
# An inline rollout is answered within API Gateway's 29 s; what takes longer is a lost connection.
_TIMEOUT = httpx.Timeout(60, connect=10)

Answer = tuple[int, dict[str, Any]]


class Unreachable(Exception):
    """The endpoint does not answer at all; nothing is known of the rollout."""


class RolloutClient:
    """``POST /rollout`` of one stack; may be used from many threads.

    Args:
        url: of the stack's stage.
        durable: whether to ask with ``Prefer: respond-async`` and wait for the end.
        wait_seconds: after which a rollout that has not ended is given up.
        attempts: how often a rollout is asked for while the stack is busy or cannot be reached.
        auth: signs each request.
        connections: open at most.
        transport: carries the requests; over sockets if not given.
    """

    def __init__(
        self,
        url: str,
        *,
        durable: bool,
        wait_seconds: float,
        attempts: int = 6,
        auth: httpx.Auth | None = None,
        connections: int = 16,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Prefer": "respond-async"} if durable else {}
        self._wait_seconds = wait_seconds
        self._attempts = attempts
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.Client(timeout=_TIMEOUT, limits=limits, auth=auth, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check_health(self) -> None:
        """Ask whether the stack is well before anything is played.

        Raises:
            ValueError: it is not, with its own words.
            Unreachable: it does not answer.
        """
        status, document = self._send("GET", f"{self._url}/health")
        if status != 200:
            said = document.get("detail") or document.get("message") or document.get("Message")
            what = "refuses the signature or the caller" if status == 403 else "is not well"
            raise ValueError(f"{self._url} {what}: GET /health answered {status}. {said or ''}")

    def play(self, body: dict[str, Any]) -> Answer:
        """Have one rollout played; status and body of what came of it.

        Raises:
            Unreachable: the endpoint does not answer, however often it is asked.
        """
        until = time.monotonic() + self._wait_seconds
        for attempt in itertools.count(1):
            status, document, headers = self._ask(body)
            if status == _ACCEPTED:
                return self._wait(self._located(headers["location"]), until)
            again = status in _BUSY or document.get("type") == _ALREADY_RUNNING
            if not again or attempt == self._attempts or time.monotonic() > until:
                return status, document
            time.sleep(_RETRY.pause(attempt, _retry_after(headers)))
        raise AssertionError("counting does not end")

    def _ask(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], httpx.Headers]:
        answer = self._request("POST", f"{self._url}/rollout", body)
        return answer.status_code, _document(answer), answer.headers

    def _wait(self, url: str, until: float) -> Answer:
        """Ask for an accepted rollout's state until it has ended."""
        for attempt in itertools.count(1):
            status, document = self._send("GET", url)
            if status not in (200, *_BUSY):
                return status, document
            if document.get("state") in ("ready", "failed"):
                return status, document.get("result", document)
            if time.monotonic() > until:
                break
            time.sleep(_POLL.pause(attempt))
        detail = f"The rollout had not ended {self._wait_seconds:g} s after it was accepted."
        return 504, {"title": "The rollout did not end", "detail": detail}

    def _send(self, method: str, url: str) -> Answer:
        answer = self._request(method, url, None)
        return answer.status_code, _document(answer)

    def _request(self, method: str, url: str, body: dict[str, Any] | None) -> httpx.Response:
        """Send a request; one that got no answer is sent again, for the stack knows its rollouts."""
        for attempt in itertools.count(1):
            try:
                return self._http.request(method, url, json=body, headers=self._headers)
            except httpx.TransportError as error:
                if attempt == self._attempts:
                    raise Unreachable(f"{self._url}: {type(error).__name__} {error}") from None
            time.sleep(_RETRY.pause(attempt))
        raise AssertionError("counting does not end")

    def _located(self, location: str) -> str:
        """The absolute URL of a ``Location``, which must be on the endpoint's own host."""
        url = urljoin(self._url + "/", location)
        if urlsplit(url).netloc != urlsplit(self._url).netloc:
            raise Unreachable(f"{self._url} points to another host: {location}")
        return url


def error_of(status: int, document: dict[str, Any]) -> dict[str, str]:
    """The error of an answer that is no result, with the boundary at fault."""
    kind = str(document.get("type", "about:blank"))
    detail = str(
        document.get("detail") or document.get("message") or f"The endpoint answered {status}."
    )
    # What stands before the stack (API Gateway, a proxy) answers without a boundary.
    boundary = str(document.get("boundary") or "platform")
    title = str(document.get("title") or f"HTTP {status}")
    return {"type": kind, "title": title, "boundary": boundary, "detail": detail}


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document: Any = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return cast("dict[str, Any]", document)
    return {"detail": answer.text[:300]}


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds the stack asks to wait, as far as waiting that long makes sense here."""
    seconds = headers.get("retry-after", "")
    return min(float(seconds), _RETRY.longest) if seconds.isdigit() else None
