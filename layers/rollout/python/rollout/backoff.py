"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Attempts after which the pause no longer grows; a power of more would overflow.
_GROWS = 60


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow with each attempt, with jitter so that those who failed together do not return so.

    Args:
        first: the longest pause after the first attempt, seconds.
        longest: no pause is longer, but for what the other side asks.
        factor: how much the longest pause grows with each attempt.
        least: share of the longest pause that is always waited, 0 to 1.
    """

    first: float
    longest: float
    factor: float = 2.0
    least: float = 0.0

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after an attempt that failed.

        Args:
            attempt: its number, from 1.
            retry_after: seconds the other side asks to wait (``Retry-After``), if it does.
        """
        grown = self.first * self.factor ** min(attempt - 1, _GROWS)
        longest = min(grown, self.longest)
        return max(random.uniform(self.least * longest, longest), retry_after or 0.0)  # noqa: S311 - jitter
