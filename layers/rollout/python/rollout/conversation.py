"""How a conversation is kept: each turn as what it added to the one before.

A turn has ``known``, how many messages it repeated unchanged from the turn before, and ``messages``,
those it added. Trajectories and rehearsals are stored this way (docs/records.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]


def shared(before: Sequence[object], now: Sequence[object]) -> int:
    """How many messages two conversations begin with in common."""
    for place, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return place
    return min(len(before), len(now))


def continued(before: Sequence[Message], known: int, added: Sequence[Message]) -> list[Message]:
    """The conversation of a turn, from the one before and what the turn kept and added."""
    return [*before[:known], *added]
