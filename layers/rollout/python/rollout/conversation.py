"""How a conversation is kept: each turn as what it added to the one before.

A turn has ``repeated``, how many messages it began with that the turn before it had as well, and
``messages``, those it added. Trajectories and rehearsals are stored this way (docs/records.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Message = dict[str, Any]


class Asked(NamedTuple):
    """What one turn asked with.

    Args:
        messages: the whole conversation.
        added: those of them that the turn before it had not.
        dropped: how many of the turn before it are gone; 0 where the conversation went on.
    """

    messages: list[Message]
    added: list[Message]
    dropped: int


def shared(before: Sequence[object], now: Sequence[object]) -> int:
    """How many messages two conversations begin with in common."""
    for place, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return place
    return min(len(before), len(now))


def read(turns: Iterable[tuple[int, Sequence[Message]]]) -> Iterator[Asked]:
    """What each turn asked with, from how many messages it repeated and those it added."""
    messages: list[Message] = []
    for repeated, added in turns:
        dropped = len(messages) - repeated
        messages = [*messages[:repeated], *added]
        yield Asked(messages, list(added), dropped)


def last(turns: Iterable[tuple[int, Sequence[Message]]]) -> list[Message]:
    """The conversation that the last turn asked with; empty where there is none."""
    messages: list[Message] = []
    for asked in read(turns):
        messages = asked.messages
    return messages
