"""A policy behind an OpenAI-compatible server: vLLM, Ollama, llama.cpp, SGLang, OpenAI itself."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.service_model import ServiceError, shape_of
from rollout.contract import parse_json
from rollout.errors import MalformedRequest

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSED_ON = (400, 402, 403, 404, 429)
_TIMEOUT = httpx.Timeout(300, connect=10)
_CONNECTIONS = httpx.Limits(max_connections=256, max_keepalive_connections=64)


class OpenAIServer:
    """Forwards turns to a server and answers its errors as the Job Runtime would.

    Args:
        base: URL that ``/chat/completions`` is appended to.
        model: value of ``model`` in each request.
        key: bearer token; none is sent if empty.
        seed: of a turn's rollout; None for a server that takes none.
    """

    def __init__(
        self, base: str, model: str, key: str, seed: Callable[[SampleRequest], int] | None
    ) -> None:
        self.model = model
        self.complaints: Counter[str] = Counter()
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
        try:
            answer = await self._http.post(self._url, json=body)
        except httpx.HTTPError as error:
            raise self._failed(500, f"{type(error).__name__}: the server did not answer") from None
        if answer.status_code != 200:
            raise self._failed(answer.status_code, _said(answer), answer.headers.get("retry-after"))
        try:
            return parse_json(answer.content)
        except MalformedRequest:
            raise self._failed(500, "the answer is not JSON") from None

    def close(self) -> None:
        """Close the connections, on the loop they were opened on."""
        if self._http is not None and self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result(timeout=5)

    def _failed(self, status: int, said: str, after: str | None = None) -> ServiceError:
        self.complaints[f"{status}: {said[:200]}"] += 1
        retry_after = int(after) if after and after.isdigit() else None
        return ServiceError(error_shape(status), "The policy's server failed.", retry_after)


def error_shape(status: int) -> str:
    """The Job Runtime's error for a server's status: 4xx by kind, everything else internal."""
    if status in _PASSED_ON:
        return shape_of(status)
    if status == 401:
        return shape_of(403)
    return shape_of(400 if 400 <= status < 500 else 500)


def connect(url: str, *, model: str, seed: Callable[[SampleRequest], int]) -> OpenAIServer:
    """Ask a server once whether it is there and takes the model.

    Args:
        url: with or without the ``/v1`` that most servers want.

    Raises:
        ValueError: what is wrong and what to do.
    """
    key = _key(url)
    base = url.rstrip("/")
    with httpx.Client(headers=_headers(key), timeout=httpx.Timeout(120, connect=10)) as http:
        try:
            if not model:
                base, model = _only_model(http, base)
            return _preflight(http, base, model, key, seed)
        except httpx.HTTPError as error:
            raise ValueError(
                f"the policy's server {url} does not answer ({type(error).__name__}); "
                "start it, or correct the URL"
            ) from None


def _preflight(
    http: httpx.Client, base: str, model: str, key: str, seed: Callable[[SampleRequest], int]
) -> OpenAIServer:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": "Say OK."}],
        "max_tokens": 8,
        "seed": 1,
    }
    answer = http.post(f"{base}/chat/completions", json=body)
    if answer.status_code == 404 and not base.endswith("/v1") and _no_route(answer):
        base += "/v1"
        answer = http.post(f"{base}/chat/completions", json=body)
    if answer.status_code in (400, 422) and "seed" in answer.text:
        del body["seed"]
        answer = http.post(f"{base}/chat/completions", json=body)
    if answer.status_code in (401, 403):
        raise ValueError(
            f"{base} refuses the key ({answer.status_code}); set ROLLOUT_POLICY_KEY or OPENAI_API_KEY"
        )
    if answer.status_code != 200:
        raise ValueError(
            f"{base}/chat/completions answered {answer.status_code} for model {model!r}: "
            f"{_said(answer)[:300]}; correct --policy or --model"
        )
    return OpenAIServer(base, model, key, seed if "seed" in body else None)


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
