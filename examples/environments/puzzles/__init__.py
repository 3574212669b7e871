"""Generators of reasoning-gym: three sums for each Sudoku (docs/environments/reasoning-gym.md)."""

from __future__ import annotations

from rollout.adapters.reasoning_gym import reasoning_gym

puzzles = reasoning_gym(
    {"mini_sudoku": 1, "chain_sum": 3},
    configs={"chain_sum": {"max_terms": 4, "max_digits": 2}},
)
