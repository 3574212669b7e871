"""Whether this stack can play rollouts: asked by ``GET /health``, and by the sweep for the alarm."""

from __future__ import annotations

from rollout.agent import load_agent
from rollout.settings import Settings
from rollout.telemetry import traces


def check(settings: Settings) -> None:
    """See that the agent loads and that what the settings ask for is there.

    Raises:
        AgentUnavailable, ConfigurationError: saying what to do.
    """
    load_agent(settings.agent)
    traces.check(settings)
