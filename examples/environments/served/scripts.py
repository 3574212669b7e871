"""What a good and a poor policy would say, and the proof of their order; the server must be running."""

from __future__ import annotations

from typing import Any

from environments.served import served
from rollout.testing import check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Halves what is left."""
    del instance
    low, high, said = 1, 8, 4
    for message in messages:
        if message["role"] == "assistant":
            said = int(message["content"])
        elif message["content"] == "higher":
            low = said + 1
        elif message["content"] == "lower":
            high = said - 1
    return {"content": str((low + high) // 2)}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Guesses what is none."""
    del instance, messages
    return {"content": "9"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that halving wins and a number that is none does not.

    Raises:
        ValueError: it does not hold for this instance.
    """
    return check_order(served, instance, [("gold", gold), ("poor", poor)])
