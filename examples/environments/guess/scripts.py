"""What a good and a poor policy would say, and the proof of their order."""

from __future__ import annotations

import re
from typing import Any

from environments.guess import guess
from rollout.testing import rehearse

_TOLD = re.compile(r"\[(\d+)\]\s*\n?\[GAME\] The target number is (higher|lower)")


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Halves what is left."""
    del instance
    low, high = 1, 20
    told = "\n".join(message["content"] for message in messages if message["role"] == "user")
    for number, where in _TOLD.findall(told):
        if where == "higher":
            low = max(low, int(number) + 1)
        else:
            high = min(high, int(number) - 1)
    return {"content": f"[{(low + high) // 2}]"}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Says the same whatever it is told."""
    del instance, messages
    return {"content": "[25]"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that halving wins and repeating a number that is none does not.

    Raises:
        ValueError: it does not hold for this instance.
    """
    rewards = [rehearse(guess, instance, script).reward or 0.0 for script in (gold, poor)]
    if rewards[0] != 1.0 or rewards[1] >= rewards[0]:
        raise ValueError(f"the rewards are {rewards}")
    return rewards
