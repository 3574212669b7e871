"""A policy behind an OpenAI-compatible server: vLLM, Ollama, llama.cpp, SGLang, OpenAI itself."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.service_model import ServiceError, shape_of
from rollout.contract import parse_json
from rollout.errors import MalformedRequest

# Characters of a server's error that are passed on.
_LONGEST_TEXT = 500
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSED_ON = (400, 402, 403, 404, 429)
_TIMEOUT = httpx.Timeout(300, connect=10)
_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64)


@dataclass(frozen=True)
class Dialect:
    """What of a request a server takes.

    Args:
        left_out: parameters it refuses.
        limit: its name for the most tokens of a turn.
    """

    left_out: frozenset[str] = frozenset()
    limit: str = "max_tokens"

    def of(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request as the server takes it."""
        made = {name: value for name, value in body.items() if name not in self.left_out}
        limits = [
            made.pop(name) for name in ("max_tokens", "max_completion_tokens") if name in made
        ]
        return {**made, self.limit: limits[0]} if limits and self.limit else made

    def after(self, refusal: str) -> Dialect | None:
        """What a refusal teaches; None where it names nothing that could be left out."""
        if "max_completion_tokens" in refusal and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        # Of two that may not go together the second stays out: the trainer's temperature is the policy's.
        for name in ("seed", "top_p", "temperature"):
            if name in refusal and name not in self.left_out:
                return replace(self, left_out=self.left_out | {name})
        return None


class OpenAIServer:
    """Forwards turns to a server and answers its errors as the Job Runtime would.

    Args:
        base: URL that ``/chat/completions`` is appended to.
        model: value of ``model`` in each request.
        key: bearer token; none is sent if empty.
        seed: of a turn's rollout; None for a server that takes none.
        takes: what of a request the server takes, as the first question showed.
    """

    def __init__(
        self,
        base: str,
        model: str,
        key: str,
        seed: Callable[[SampleRequest], int] | None,
        takes: Dialect | None = None,
    ) -> None:
        self.model = model
        self.complaints: Counter[str] = Counter()
        self._takes = takes or Dialect()
        for name in sorted(self._takes.left_out - {"seed"}):
            self.complaints[f"{name} is left out of every request: the server refuses it"] += 1
        self._url = f"{base}/chat/completions"
        self._headers = _headers(key)
        self._seed = seed
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def sample(self, asked: SampleRequest) -> Any:
        """Sample one turn.

        Raises:
            ServiceError: the server refused, failed or could not be reached.
        """
        if self._http is None:
            self._loop = asyncio.get_running_loop()
            self._http = httpx.AsyncClient(
                headers=self._headers, timeout=_TIMEOUT, limits=_CONNECTIONS
            )
        body = {**asked.body, "model": self.model}
        if self._seed is not None:
            body.setdefault("seed", self._seed(asked))
        body = self._takes.of(body)
        try:
            answer = await self._http.post(self._url, json=body)
        except httpx.HTTPError as error:
            raise self._failed(500, f"{type(error).__name__}: the server did not answer") from None
        if answer.status_code != 200:
            raise self._failed(answer.status_code, _said(answer), answer.headers.get("retry-after"))
        try:
            completion: Any = parse_json(answer.content)
        except MalformedRequest:
            raise self._failed(500, "the answer is not JSON") from None
        if not _is_completion(completion):  # an error behind a 200 is no message of the model's
            raise self._failed(500, f"answered 200 without a completion: {_said(answer)}")
        return completion

    def close(self) -> None:
        """Close the connections, on the loop they were opened on."""
        if self._http is not None and self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result(timeout=5)

    def _failed(self, status: int, said: str, after: str | None = None) -> ServiceError:
        self.complaints[f"{status}: {said[:200]}"] += 1
        retry_after = int(after) if after and after.isdigit() else None
        # The library looks in the text for a context that is full, as the Job Runtime would pass it on.
        return ServiceError(error_shape(status), said[:_LONGEST_TEXT], retry_after)


def error_shape(status: int) -> str:
    """The Job Runtime's error for a server's status: 4xx by kind, everything else internal."""
    if status in _PASSED_ON:
        return shape_of(status)
    if status == 401:
        return shape_of(403)
    return shape_of(400 if 400 <= status < 500 else 500)


def connect(
    url: str,
    *,
    model: str,
    seed: Callable[[SampleRequest], int],
    leave_out: Collection[str] = (),
) -> OpenAIServer:
    """Ask a server once whether it is there and takes the model.

    Args:
        url: with or without the ``/v1`` that most servers want.
        leave_out: sampling parameters the model does not take; what it refuses in its first answer is
            left out as well.

    Raises:
        ValueError: what is wrong and what to do.
    """
    key = _key(url)
    base = url.rstrip("/")
    with httpx.Client(headers=_headers(key), timeout=httpx.Timeout(120, connect=10)) as http:
        try:
            if not model:
                base, model = _only_model(http, base)
            takes = Dialect(frozenset(leave_out))
            return _preflight(http, base, model, key, seed=seed, takes=takes)
        except httpx.HTTPError as error:
            raise ValueError(
                f"the policy's server {url} does not answer ({type(error).__name__}); "
                "start it, or correct the URL"
            ) from None


def _preflight(
    http: httpx.Client,
    base: str,
    model: str,
    key: str,
    *,
    seed: Callable[[SampleRequest], int],
    takes: Dialect,
) -> OpenAIServer:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Say OK."}],
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 1,
    }
    answer = http.post(f"{base}/chat/completions", json=takes.of(body))
    if answer.status_code == 404 and not base.endswith("/v1") and _no_route(answer):
        base += "/v1"
        answer = http.post(f"{base}/chat/completions", json=takes.of(body))
    while answer.status_code in (400, 422):
        learned = takes.after(_said(answer))
        if learned is None:
            break
        takes = learned
        answer = http.post(f"{base}/chat/completions", json=takes.of(body))
    if answer.status_code in (401, 403):
        raise ValueError(
            f"{base} refuses the key ({answer.status_code}); set ROLLOUT_POLICY_KEY or OPENAI_API_KEY"
        )
    if answer.status_code != 200 or not _is_completion(_document(answer)):
        raise ValueError(
            f"{base}/chat/completions answered {answer.status_code} for model {model!r}: "
            f"{_said(answer)[:300]}; correct --policy or --model"
        )
    return OpenAIServer(base, model, key, seed, takes)


def _only_model(http: httpx.Client, base: str) -> tuple[str, str]:
    """The one model a server has, and the base URL that told."""
    status = 0
    for candidate in (base, f"{base}/v1"):
        answer = http.get(f"{candidate}/models")
        status = answer.status_code
        if status != 200:
            continue
        try:
            names = [str(item["id"]) for item in answer.json()["data"]]
        except (ValueError, KeyError, TypeError):
            continue
        if len(names) == 1:
            return candidate, names[0]
        shown = ", ".join(names[:20]) or "none"
        raise ValueError(f"name the model with --model; {candidate} has: {shown}")
    raise ValueError(f"name the model with --model; {base}/models does not list any ({status})")


def _key(url: str) -> str:
    """The key from the environment; never sent in the clear to another machine."""
    key = os.environ.get("ROLLOUT_POLICY_KEY") or os.environ.get("OPENAI_API_KEY") or ""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("put the key into ROLLOUT_POLICY_KEY, not into the URL")
    if key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(
            f"a key is set and {url} is not https: use https, or unset ROLLOUT_POLICY_KEY and "
            "OPENAI_API_KEY if the server wants none"
        )
    return key


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _no_route(answer: httpx.Response) -> bool:
    """Whether a 404 is about the path; one about the model names it in an error."""
    return "model" not in answer.text


def _document(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _is_completion(document: Any) -> bool:
    """Whether an answer is a chat completion, and not an error with status 200."""
    known = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    return bool(known.get("choices")) and not known.get("error")


def _said(answer: httpx.Response) -> str:
    """What a server says of an error, from the shapes that servers use."""
    try:
        document: Any = answer.json()
    except ValueError:
        return answer.text
    error = document
    for name in ("error", "message"):
        if isinstance(error, dict):
            error = cast("dict[str, Any]", error).get(name, error)
    return str(error)
