"""What a perfect and a poor policy would say, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.stock import stock
from rollout.testing import calls, check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, takes what is wanted, and says what is left."""
    spoken = sum(message["role"] == "assistant" for message in messages)
    item = instance["item"]
    if spoken == 0:
        return calls("count", {"item": item})
    if spoken == 1:
        return calls("take", {"item": item, "number": instance["wanted"]}, "call_1")
    return {"content": str(instance["left"])}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Says what would be left and takes nothing."""
    del messages
    return {"content": str(instance["left"])}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that doing it earns 1.0 and saying it less.

    Raises:
        ValueError: it does not hold for this instance.
    """
    return check_order(stock, instance, [("gold", gold), ("poor", poor)])
