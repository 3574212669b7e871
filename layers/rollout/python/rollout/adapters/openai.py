"""OpenAI clients bound to one episode."""

from __future__ import annotations

from typing import Any

import httpx

from rollout.adapters.transport import BASE_URL, AsyncEpisodeTransport, EpisodeTransport, Sampler

# No retries: a turn is sampled once, and the episode knows when it may be sent again.
_OPTIONS: dict[str, Any] = {"api_key": "unused", "base_url": BASE_URL, "max_retries": 0}


def client(episode: Sampler) -> Any:
    """An ``openai.OpenAI`` whose chat completions are this episode's turns."""
    from openai import OpenAI

    return OpenAI(**_OPTIONS, http_client=sync_http(episode))


def async_client(episode: Sampler) -> Any:
    """An ``openai.AsyncOpenAI`` whose chat completions are this episode's turns."""
    from openai import AsyncOpenAI

    return AsyncOpenAI(**_OPTIONS, http_client=async_http(episode))


def sync_http(episode: Sampler) -> httpx.Client:
    """The ``httpx`` client of an episode, without a time limit of its own."""
    return httpx.Client(transport=EpisodeTransport(episode), timeout=None)  # noqa: S113 - see above


def async_http(episode: Sampler) -> httpx.AsyncClient:
    """As :func:`sync_http`, asynchronous."""
    return httpx.AsyncClient(transport=AsyncEpisodeTransport(episode), timeout=None)  # noqa: S113 - as above
