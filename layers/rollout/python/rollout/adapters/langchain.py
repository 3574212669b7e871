"""A LangChain chat model on an episode."""

from __future__ import annotations

from typing import Any

from rollout.adapters.openai import async_http, sync_http
from rollout.adapters.packages import needed
from rollout.adapters.transport import BASE_URL
from rollout.episode import Episode


def chat_model(episode: Episode, **params: Any) -> Any:
    """A ``langchain_openai.ChatOpenAI``; make one for each episode.

    Args:
        **params: further arguments of ``ChatOpenAI``; the trainer's sampling parameters win.
    """
    langchain = needed("langchain_openai", "langchain-openai")
    options: dict[str, Any] = {
        "model": "policy",
        "api_key": "unused",
        "base_url": BASE_URL,
        "max_retries": 0,
        "http_client": sync_http(episode),
        "http_async_client": async_http(episode),
        **params,
    }
    return langchain.ChatOpenAI(**options)
