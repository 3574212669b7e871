"""TextArena's Guess the Number, with a reward at the end (docs/environments/gymnasium.md)."""

from __future__ import annotations

from rollout.adapters.textarena import textarena

guess = textarena("GuessTheNumber-v0")
