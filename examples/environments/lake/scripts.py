"""What a perfect and a poor policy would say, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.lake import lake
from rollout.testing import check_order

WAY = ("down", "down", "right", "right", "down", "right")


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the way of the map."""
    del instance
    walked = sum(message["role"] == "assistant" for message in messages)
    return {"content": f"I go {WAY[walked % len(WAY)]}."}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Walks into the first hole."""
    del instance
    walked = sum(message["role"] == "assistant" for message in messages)
    return {"content": ("right", "down")[walked % 2]}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that the way to the goal earns 1.0 and a hole less.

    Raises:
        ValueError: it does not hold for this instance.
    """
    return check_order(lake, instance, [("gold", gold), ("poor", poor)])
