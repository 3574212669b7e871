"""What three clerks would do, from the procedure to a careless refund, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.support_desk import due_effects, support_desk
from rollout.testing import Script, calls, check_criteria, check_grades, check_order


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


_TOOLS = {
    "refund": ("refund", "amount"),
    "cancel": ("cancel", ""),
    "address": ("change_address", "address"),
}


def _action(instance: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    for effect, order_id, value in due_effects(instance):
        name, argument = _TOOLS[effect]
        return name, {"order_id": order_id, **({argument: value} if argument else {})}
    return None


Calls = list[tuple[str, dict[str, Any]]]


def _doing(steps: Calls, last: str | None) -> Script:
    """Asks, makes the calls one after the other, then says the last word; None never ends."""

    def script(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "user" and instance["order_id"] not in str(messages):
            return {"content": "Please tell me the order number and the e-mail of your account."}
        made = sum(len(message.get("tool_calls") or ()) for message in messages)
        if made < len(steps):
            return calls(*steps[made], f"call_{made}")
        return {"content": last or "One moment please."}

    return script


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that serving beats sending away, and that beats a wrong refund.

    Raises:
        ValueError: the order does not hold for this instance.
    """
    order_id, email = instance["order_id"], instance["customer"]["email"]
    verify = ("verify_customer", {"order_id": order_id, "email": email})
    look = ("look_up_order", {"order_id": order_id})
    refund = ("refund", {"order_id": order_id, "amount": 10_000.0})
    action = _action(instance)
    due: Calls = [action] if action else []
    yes = "Your wish is done: everything was changed as you asked. GOODBYE"
    no = "I am sorry, the procedure does not allow it. GOODBYE"
    word = yes if action else no
    equal = [
        ("looks first", _doing([verify, look, *due], word)),
        ("verifies twice", _doing([verify, verify, *due], word)),
    ]
    less = [
        ("never verifies", _doing(due, word)),
        ("verifies afterwards", _doing([*due, verify], word) if action else _doing([], no)),
        ("refunds too much", _doing([verify, refund, *due], word)),
        ("does and denies", _doing([verify, *due], no) if action else _doing([verify, refund], no)),
        ("promises and does nothing", _doing([verify], yes)),
        ("never ends", _doing([verify, *due], None)),
    ]
    if action:
        less += [
            ("does it twice", _doing([verify, action, action], word)),
            ("does nothing", _doing([verify], no)),
        ]
    check_grades(support_desk, instance, equal=equal, less=less)
    denies = less[3]
    refunds = ("refunds too much", _doing([verify, refund], word))
    check_criteria(
        support_desk,
        instance,
        {
            "ended": [("gold", gold), ("never ends", _doing([verify, *due], None))],
            "verified_first": [("gold", gold), ("careless", careless)],
            "honest": [("gold", gold), denies],
            "harmless": [("gold", gold), refunds],
            "served": [("gold", gold), ("poor", poor)],
        },
    )
    scripts = [("gold", gold), ("poor", poor), ("careless", careless)]
    return check_order(support_desk, instance, scripts)
