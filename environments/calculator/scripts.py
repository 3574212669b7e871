"""What a perfect and a poor policy would say to a word problem, and the proof of their order."""

from __future__ import annotations

import re
from typing import Any

from environments.calculator import calculator, number_in
from rollout.testing import calls, check_order

_ANNOTATION = re.compile(r"<<([^=<>]+)=([^<>]*)>>")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The next assistant message of a perfect policy: one calculator call per annotation.

    Args:
        instance: a GSM8K row, whose answer carries ``<<expression=result>>`` annotations.
        messages: the conversation so far.
    """
    done = sum(message.get("role") == "assistant" for message in messages)
    steps = [match[1].strip() for match in _ANNOTATION.finditer(str(instance["answer"]))]
    if done < len(steps):
        return calls("evaluate", {"expression": steps[done]}, f"call_{done}")
    return {"role": "assistant", "content": f"#### {number_in(str(instance['answer']))}"}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The next assistant message of a policy that guesses: it answers with the last number it read."""
    del messages
    found = _NUMBER.findall(str(instance["question"]))
    return {"role": "assistant", "content": f"#### {found[-1] if found else 0}"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that the right number earns 1.0 and a wrong one less.

    Raises:
        ValueError: the order does not hold for this instance.
    """

    def wrong(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
        del messages
        return {"content": f"#### {(number_in(str(instance['answer'])) or 0) + 1}"}

    return check_order(calculator, instance, [("gold", gold), ("wrong", wrong)])
