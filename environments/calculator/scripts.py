"""What a perfect and a poor policy would say to a word problem, and the proof of their order."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from environments.calculator import calculator, number_in
from rollout.testing import Script, calls, check_grades, check_order, says

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
    """Prove that the right number earns 1.0 in any form, and a wrong one or half of one less.

    Raises:
        ValueError: the order does not hold for this instance.
    """
    right = number_in(str(instance["answer"])) or Fraction(0)

    def wrong(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
        del instance, messages
        return {"content": f"#### {right + 1}"}

    check_grades(calculator, instance, equal=_equal(right), less=_less(right))
    return check_order(calculator, instance, [("gold", gold), ("wrong", wrong)])


def _equal(right: Fraction) -> list[tuple[str, Script]]:
    """The right number as policies write it."""
    forms = {
        "fraction": f"#### {right.numerator * 2}/{right.denominator * 2}",
        "box": f"So it is \\boxed{{{right}}}.",
        "LaTeX": f"\\boxed{{\\frac{{{right.numerator}}}{{{right.denominator}}}}}",
        "sentence": f"The answer is **{right}**.",
        "title": f"#### Step 9: add them\nThe answer is {right}.",
        "thought": f"<think>#### {right + 7}</think>\n#### {right}",
    }
    if right.denominator == 1 and right >= 1_000:
        forms["thousands"] = f"#### {right.numerator:,}"
        forms["LaTeX thousands"] = f"\\boxed{{{right.numerator:,}}}".replace(",", "{,}")
    return [(name, says(text)) for name, text in forms.items()]


def _less(right: Fraction) -> list[tuple[str, Script]]:
    """Near misses: another sign, part of the number, thinking it and saying nothing."""
    forms = {
        "other sign": f"#### {-right if right else 1}",
        "minus of another keyboard": f"#### \u2212{right}" if right > 0 else "#### 1",
        "part of a fraction": f"#### {right}/{right.denominator + 2}" if right else "#### 1/2",
        "off by a hundredth": f"#### {float(right) + 0.01}",
        "thought alone": f"<think>#### {right}</think>",
        "range": f"#### {right}-{right + 1}",
    }
    return [(name, says(text)) for name, text in forms.items()]
