"""A judge's model behind a server that speaks chat completions: vLLM, SGLang, Ollama, a gateway, OpenAI.

Its host must be in ``ROLLOUT_JUDGE_HOSTS`` (the parameter ``JudgeHosts``), exactly, for a key and a
transcript go there; a host of this machine (loopback) may be spoken to without, and without TLS.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from rollout.errors import ConfigurationError
from rollout.judge import Answer, Question, chat_answer, chat_request
from rollout.settings import read_judge_hosts

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_BYTES = 1_000_000


class ServerFailed(Exception):
    """An answer that is none; ``status`` says which, for :mod:`rollout.judgement`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The judge's server answered {status}.")
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server.

    Args:
        base_url: up to and with ``/v1``.
        model: as the server names it.
        key_variable: environment variable that holds the key; empty for none.
        temperature: None leaves it out, for models that refuse it.
        max_tokens: that the verdict may have, reasoning included.
        limit_name: ``max_tokens`` or ``max_completion_tokens``, as the server wants it.
    """

    base_url: str
    model: str
    key_variable: str = ""
    temperature: float | None = 0.0
    max_tokens: int = 1_000
    limit_name: str = "max_tokens"

    @property
    def name(self) -> str:
        """The URL and the model."""
        return f"{self.base_url} {self.model}"

    def ask(self, question: Question) -> Answer:
        """Ask once; no redirect is followed.

        Raises:
            ConfigurationError: the host is not allowed, or the key is missing.
            NoVerdict: the answer is no chat completion.
            ServerFailed: the server answered with another status than 200.
            HTTPError: urllib3's, where it did not answer.
        """
        _allow(self.base_url)
        headers = {"Content-Type": "application/json"}
        if self.key_variable:
            key = os.environ.get(self.key_variable, "")
            if not key:
                raise ConfigurationError(f"The judge's key {self.key_variable} is not set.")
            headers["Authorization"] = f"Bearer {key}"
        body = chat_request(
            question,
            self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            limit_name=self.limit_name,
        )
        answer = _pool().request(
            "POST",
            f"{self.base_url.rstrip('/')}/chat/completions",
            body=body,
            headers=headers,
            timeout=question.seconds,
            redirect=False,
            preload_content=False,
        )
        try:
            data = answer.read(_MOST_BYTES, decode_content=True)
        finally:
            answer.release_conn()
        if answer.status != 200:
            raise ServerFailed(answer.status)
        return chat_answer(data)


@lru_cache(maxsize=1)
def _pool() -> Any:
    import urllib3

    return urllib3.PoolManager(maxsize=64, retries=False)


def _allow(base_url: str) -> None:
    """Refuse a host that is not named.

    Raises:
        ConfigurationError: saying what to set.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in _LOOPBACK and parts.scheme in ("http", "https") and not parts.username:
        return
    if parts.scheme != "https" or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            "A judge's base_url must be https://HOST/v1, without user or query."
        )
    named = host if parts.port in (None, 443) else f"{host}:{parts.port}"
    if named not in read_judge_hosts(os.environ):
        raise ConfigurationError(
            f"The judge's host {named[:100]} is not in ROLLOUT_JUDGE_HOSTS (the parameter JudgeHosts)."
        )
