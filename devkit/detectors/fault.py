"""What a detector finds, and when two rewards are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

# Rewards nearer than this are equal.
EQUAL = 1e-9
# Characters shown of a text.
SHOWN = 160

# A fault ruins training; a doubt may; a note only informs.
Weight = Literal["fault", "doubt", "note"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was found.

    Args:
        code: stable; programs may match on it.
        measured: the number it rests on.
        rows: where it was seen, by the rows' numbers in the dataset, from 0.
        says: what is wrong, in a sentence.
        example: what was said there and what it earned.
        do: what to do about it.
        evidence: what it was seen in, such as two transcripts of the same words.
    """

    code: str
    measured: float
    rows: tuple[int, ...]
    says: str
    example: str
    do: str
    weight: Weight = "fault"
    evidence: tuple[dict[str, Any], ...] = field(default=())


def same(left: Sequence[float] | None, right: Sequence[float] | None) -> bool:
    """Whether two rollouts' rewards are the same, turn by turn."""
    if left is None or right is None:
        return left is right
    return len(left) == len(right) and all(
        abs(a - b) <= EQUAL for a, b in zip(left, right, strict=True)
    )
