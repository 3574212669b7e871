"""The words of the dataset, drawn from the list; always the same."""

from __future__ import annotations

import random
from typing import Any

from environments.wordle import WORDS


def instances(count: int = 24) -> list[dict[str, Any]]:
    """Words for Wordle."""
    dice = random.Random(1)  # noqa: S311 - the same each time, on purpose
    return [{"word": word} for word in dice.sample(WORDS, count)]
