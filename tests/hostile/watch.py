"""A hook under the sockets: every name looked up and every address connected to, whoever asks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_EVENTS = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
_watching: list[set[tuple[str, str]]] = []


def _note(event: str, args: tuple) -> None:
    if not _watching or event not in _EVENTS:
        return
    if event == "socket.getaddrinfo":
        place = f"{args[0]}:{args[1]}"
    elif event == "socket.gethostbyname":
        place = str(args[0])
    else:
        address = args[1]
        place = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
    for seen in _watching:
        seen.add((event, place))


sys.addaudithook(_note)  # for the life of the process; quiet unless somebody watches


@contextmanager
def sockets() -> Iterator[set[tuple[str, str]]]:
    """Within this, collect what the process looks up and connects to, as (event, "host:port")."""
    seen: set[tuple[str, str]] = set()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def off_loopback(seen: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What was seen beyond 127.0.0.1."""
    return {(event, place) for event, place in seen if place.rpartition(":")[0] != "127.0.0.1"}


def outside(seen: set[tuple[str, str]], *allowed: str) -> set[tuple[str, str]]:
    """What was seen beyond the allowed "host:port" places."""
    return {(event, place) for event, place in seen if place not in allowed}
