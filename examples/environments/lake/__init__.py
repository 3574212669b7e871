"""Gymnasium's frozen lake, drawn in letters, a reward for each turn (docs/environments/gymnasium.md)."""

from __future__ import annotations

from rollout.adapters.gymnasium import gymnasium

SYSTEM = (
    "You walk over a frozen lake: S start, F ice, H hole, G goal. Your place is in brackets. "
    "Answer left, down, right or up. Reach G; a hole ends the game."
)

lake = gymnasium(
    "FrozenLake-v1",
    system=SYSTEM,
    actions={"left": 0, "down": 1, "right": 2, "up": 3},
    rewards="turns",
    is_slippery=False,
)
