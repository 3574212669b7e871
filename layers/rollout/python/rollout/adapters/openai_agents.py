"""A model of the OpenAI Agents SDK on an episode."""

from __future__ import annotations

from typing import Any

from rollout.adapters.openai import async_client
from rollout.adapters.packages import needed
from rollout.episode import Episode


def model(episode: Episode) -> Any:
    """An ``OpenAIChatCompletionsModel`` for ``agents.Agent(model=…)``; make one for each episode.

    The SDK's tracing is switched off: it would send the conversation to OpenAI.
    """
    agents = needed("agents", "openai-agents")
    agents.set_tracing_disabled(True)
    return agents.OpenAIChatCompletionsModel(model="policy", openai_client=async_client(episode))
