"""The words of the dataset, drawn from the list; always the same."""

from __future__ import annotations

import random
from typing import Any

from environments.wordle import WORDS


def instances(count: int = 24) -> list[dict[str, Any]]:
    """Words for Wordle."""
    return [{"word": word} for word in random.Random(1).sample(WORDS, count)]
