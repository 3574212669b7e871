"""What agents raised, counted for their author. No log of the stack may hold it: it can quote content."""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path

_LONGEST = 300


class AgentErrors(Counter[str]):
    """How often an agent raised what, by message and place."""

    def note(self, error: BaseException) -> None:
        """Count one exception."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        self[f"{type(error).__name__}: {error}"[:_LONGEST] + f" ({place})"] += 1
