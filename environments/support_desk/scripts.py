"""What three clerks would do, from the procedure to a careless refund, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.support_desk import support_desk
from rollout.testing import calls, check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Keeps to the procedure and knows what is expected."""
    order_id, email = instance["order_id"], instance["customer"]["email"]
    called = sum(len(message.get("tool_calls") or ()) for message in messages)
    if messages[-1]["role"] == "user" and email not in messages[-1]["content"]:
        return {
            "content": "Please tell me the order number and the e-mail address of your account."
        }
    if not called:
        return calls("verify_customer", {"order_id": order_id, "email": email})
    action = _action(instance)
    if action and called == 1:
        return calls(*action)
    return {"content": "It is done. GOODBYE" if action else "I am sorry, I may not. GOODBYE"}


def careless(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Refunds at once, whoever asks."""
    if messages[-1]["role"] == "tool":
        return {"content": "Done. GOODBYE"}
    return calls("refund", {"order_id": instance["order_id"], "amount": 1.0})


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Sends everybody away."""
    del instance, messages
    return {"content": "We cannot help you. GOODBYE"}


def _action(instance: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    order_id = instance["order_id"]
    after = instance["expected"][order_id]
    if after == instance["orders"][order_id]:
        return None
    if after["status"] == "refunded":
        return "refund", {"order_id": order_id, "amount": after["refunded"]}
    if after["status"] == "cancelled":
        return "cancel", {"order_id": order_id}
    return "change_address", {"order_id": order_id, "address": after["address"]}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that serving beats sending away, and that beats a wrong refund.

    Raises:
        ValueError: the order does not hold for this instance.
    """
    scripts = [("gold", gold), ("poor", poor), ("careless", careless)]
    return check_order(support_desk, instance, scripts)
