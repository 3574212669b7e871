"""The agent both sides of the comparison play: two turns, reward 1.0, or an exception."""

from __future__ import annotations

from rollout import Episode, agent


@agent
def two_turns(episode: Episode) -> float:
    """Two turns, reward 1.0, or an exception."""
    if episode.instance.get("raise"):
        raise ValueError("the agent raised")
    for turn in range(2):
        episode.sample([{"role": "user", "content": f"turn {turn}"}])
    return 1.0
