"""What a perfect and a poor policy would say, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.puzzles import puzzles
from rollout.testing import check_grades, check_order, says


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the entry's own answer."""
    del messages
    return {"content": f"<answer>{instance['answer']}</answer>"}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Answers in the right form, and wrongly."""
    del instance, messages
    return {"content": "<answer>?</answer>"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that the entry's own answer earns 1.0, with thoughts before it too, and others less.

    Raises:
        ValueError: it does not hold for this instance.
    """
    answer = instance["answer"]
    check_grades(
        puzzles,
        instance,
        equal=[("thought first", says(f"<think>no</think>So <answer>{answer}</answer>"))],
        less=[("no tags", says(answer)), ("thought alone", says(f"<think>{answer}</think>"))],
    )
    return check_order(puzzles, instance, [("gold", gold), ("poor", poor)])
