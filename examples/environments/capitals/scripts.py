"""What a perfect and a poor policy would say, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.capitals import capitals
from rollout.testing import check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the capital."""
    del messages
    return {"content": instance["answer"]}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Names it among others."""
    del messages
    return {"content": f"Perhaps {instance['answer']}, or Rome"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that the capital alone earns 1.0 and more words less.

    Raises:
        ValueError: it does not hold for this instance.
    """
    return check_order(capitals, instance, [("gold", gold), ("poor", poor)])
