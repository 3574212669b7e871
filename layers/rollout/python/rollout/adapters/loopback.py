"""An OpenAI-compatible server on loopback that belongs to one episode; ``episode.base_url()``.

For whatever speaks chat completions over HTTP: a client of any language in a subprocess, a framework
that takes only a URL. Every request ends in ``Episode.sample``. The server answers one key, which is
made for the episode and goes nowhere but to who opened it.

No client may sample a turn twice. An error is answered with 400, which clients do not send again, and
with OpenAI's ``x-should-retry: false``. Where OpenAI's clients repeat a request all the same, because
its reply was lost or late, they say so in ``x-stainless-retry-count`` (openai-python
``_base_client.py``, openai-node ``client.ts``), and are told the reply of the first.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess  # nosec B404 - for the type of its time-out; nothing is run here
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from rollout.adapters.http_server import Answer, error_answer, json_answer, listening
from rollout.adapters.transport import CHAT, Sampler, chunks, sample_request, wants_usage
from rollout.contract import parse_json
from rollout.errors import (
    AgentError,
    ContextFull,
    DeadlineError,
    MalformedRequest,
    OutOfTime,
    RolloutError,
)

_MODEL = {"id": "policy", "object": "model", "created": 0, "owned_by": "rollout"}


class Served(Sampler, Protocol):
    """What is served of an episode."""

    def remaining(self) -> float:
        """Seconds left; see :meth:`rollout.episode.Episode.remaining`."""
        ...


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Where an episode's chat completions are served.

    Args:
        url: ``http://127.0.0.1:PORT/v1``.
        key: what the server takes as ``Authorization: Bearer``; it is in no repr.
    """

    url: str
    key: str = field(repr=False)

    def __str__(self) -> str:
        return self.url

    @property
    def environ(self) -> dict[str, str]:
        """The variables from which OpenAI's clients read both, for a subprocess."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": self.key}


@contextmanager
def base_url(episode: Served) -> Generator[BaseUrl]:
    """Serve an episode for the length of a ``with`` block.

    What went wrong in the episode wins over what the block makes of it: an exception out of the block
    is raised as the episode's own failure, and a turn that could not be sampled ends the rollout even
    where the client kept it to itself, for an outage is no reward. A spent budget may be kept to
    oneself: what was reached is scored.

    Raises:
        SampleFailed, BadReply: as for ``sample``, when the block ends.
        OutOfTime: a subprocess was ended because no time was left.
    """
    chat = Chat(episode)
    key = secrets.token_urlsafe(32)

    def respond(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        given = headers.get("authorization", "").encode()
        if not secrets.compare_digest(given, f"Bearer {key}".encode()):
            return error_answer(401, "This is not the key of this episode.", "invalid_api_key")
        return chat.respond(method, path, headers, body)

    with chat.watched(), listening(respond) as port:
        yield BaseUrl(f"http://127.0.0.1:{port}/v1", key)


class Chat:
    """The chat completions of one episode, for whoever may ask for them."""

    def __init__(self, episode: Served) -> None:
        self._episode = episode
        # What went wrong, in order; a suspension of the durable SDK among it.
        self._failures: list[BaseException] = []
        self._lock = Lock()
        self._completions: dict[bytes, Future[dict[str, Any]]] = {}

    @contextmanager
    def watched(self) -> Generator[None]:
        """Raise what went wrong in the episode when the block ends; see :func:`base_url`."""
        try:
            yield
        except RolloutError:
            raise
        except Exception as error:
            if self._failures:
                raise self._failure() from error
            if isinstance(error, subprocess.TimeoutExpired) and self._episode.remaining() <= 0:
                raise OutOfTime(
                    "A subprocess had not ended when the rollout's time was over."
                ) from error
            raise
        if self._failures and not _may_be_kept(self._failure()):
            raise self._failure()

    def _failure(self) -> BaseException:
        """The first that nobody may keep to himself, else the first."""
        return next((e for e in self._failures if not _may_be_kept(e)), self._failures[0])

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request of a client."""
        path = path.partition("?")[0].rstrip("/")
        if path.endswith("/models"):
            return json_answer({"object": "list", "data": [_MODEL]})
        if "/models/" in path:
            return json_answer({**_MODEL, "id": path.rpartition("/models/")[2]})
        if not path.endswith(CHAT):
            return error_answer(404, f"An episode answers {CHAT} only; use that API.", "not_found")
        if method != "POST":
            return error_answer(405, f"{CHAT} takes POST.", "method_not_allowed")
        try:
            request = parse_json(body)
        except MalformedRequest as error:
            return error_answer(400, error.detail, error.slug)
        return self._chat(request, hashlib.sha256(body).digest(), repeated=_repeated(headers))

    def _chat(self, request: Any, digest: bytes, *, repeated: bool) -> Answer:
        try:
            completion = self._once(request, digest, repeated=repeated)
        except RolloutError as error:
            code = "context_length_exceeded" if isinstance(error, ContextFull) else error.slug
            return error_answer(400, error.detail, code)
        except BaseException as error:  # noqa: BLE001 - a suspension too; the block's end raises it
            return error_answer(503, type(error).__name__, "interrupted")
        if request.get("stream"):
            return Answer(200, chunks(completion, usage=wants_usage(request)), "text/event-stream")
        return json_answer(completion)

    def _once(self, request: Any, digest: bytes, *, repeated: bool) -> dict[str, Any]:
        """Sample the turn, or wait for what was sampled when a client first asked for it."""
        with self._lock:
            if self._failures and not _may_be_kept(self._failure()):
                # The rollout fails of it whatever follows; a framework that starts over samples nothing.
                raise self._failure()
            first = self._completions.get(digest) if repeated else None
            completion = first or Future[dict[str, Any]]()
            self._completions[digest] = completion
        if first is None:
            try:
                completion.set_result(sample_request(self._episode, request))
            except BaseException as error:
                self._failures.append(error)
                completion.set_exception(error)
                raise
        return completion.result()


def _may_be_kept(error: BaseException) -> bool:
    """Whether a client may keep a failure to itself: its own mistake, or a budget that is spent."""
    return isinstance(error, (AgentError, DeadlineError))


def _repeated(headers: Mapping[str, str]) -> bool:
    return headers.get("x-stainless-retry-count", "0") != "0"
