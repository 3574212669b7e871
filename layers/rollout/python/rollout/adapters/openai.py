"""OpenAI clients bound to one episode."""

from __future__ import annotations

from typing import Any

from rollout.adapters.packages import needed
from rollout.adapters.transport import BASE_URL, Sampler, async_transport, transport

# No retries: a turn is sampled once, and the episode knows when it may be sent again.
_OPTIONS: dict[str, Any] = {"api_key": "unused", "base_url": BASE_URL, "max_retries": 0}


def client(episode: Sampler) -> Any:
    """An ``openai.OpenAI`` whose chat completions are this episode's turns."""
    return needed("openai", "openai").OpenAI(**_OPTIONS, http_client=sync_http(episode))


def async_client(episode: Sampler) -> Any:
    """An ``openai.AsyncOpenAI`` whose chat completions are this episode's turns."""
    return needed("openai", "openai").AsyncOpenAI(**_OPTIONS, http_client=async_http(episode))


def sync_http(episode: Sampler) -> Any:
    """An episode's HTTP client, of the library that ``openai`` uses; no time limit of its own."""
    http = _library()
    return http.Client(transport=transport(episode, http), timeout=None)


def async_http(episode: Sampler) -> Any:
    """As :func:`sync_http`, asynchronous."""
    http = _library()
    return http.AsyncClient(transport=async_transport(episode, http), timeout=None)


def _library() -> Any:
    """``httpx2`` for openai 3, ``httpx`` for openai 2: each comes with its own alone."""
    own = needed("openai", "openai").DefaultHttpxClient.__mro__
    known = {kind.__module__.partition(".")[0] for kind in own}
    name = "httpx2" if "httpx2" in known else "httpx"
    return needed(name, name)
