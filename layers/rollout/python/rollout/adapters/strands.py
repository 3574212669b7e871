"""A Strands model on an episode."""

from __future__ import annotations

from typing import Any

from rollout.adapters.openai import async_client
from rollout.adapters.packages import needed
from rollout.episode import Episode


def model(episode: Episode, **params: Any) -> Any:
    """A ``strands.models.openai.OpenAIModel`` for ``strands.Agent(model=…)``.

    Make one for each episode: a model shared between rollouts mixes their turns.

    Args:
        **params: sampling parameters of the agent's own; the trainer's win.
    """
    strands = needed("strands.models.openai", "strands-agents[openai]")
    return strands.OpenAIModel(client=async_client(episode), model_id="policy", params=params)
