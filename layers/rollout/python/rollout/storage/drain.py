"""The switch that closes a stack to new rollouts: a row of its table.

A row and not a parameter: it takes effect within seconds, and no function is updated for it, which is
what a stack with a job running on it must be spared.
"""

from __future__ import annotations

import time

from rollout.aws.table import Table
from rollout.errors import Draining
from rollout.settings import Settings
from rollout.storage import keys

# Seconds for which a process believes what it read; a drain waits longer than that.
FRESH = 5.0

_seen: dict[str, tuple[float, bool]] = {}


def check_open(settings: Settings) -> None:
    """Refuse new rollouts while the stack drains.

    Raises:
        Draining: the switch is on.
        Unavailable: the table did not answer.
    """
    read, on = _seen.get(settings.storage.table, (0.0, False))
    if time.monotonic() - read > FRESH or not read:
        on = Table(settings).get(**keys.DRAINING) is not None
        _seen[settings.storage.table] = (time.monotonic(), on)
    if on:
        raise Draining(
            "This stack is being drained before a deployment and takes no new rollouts.",
            retry_after=60,
        )


def switch(settings: Settings, *, on: bool) -> None:
    """Close the stack to new rollouts, or open it again; twice is the same as once.

    Raises:
        Unavailable: the table did not answer.
    """
    table = Table(settings)
    if on:
        table.put(keys.DRAINING)
    else:
        table.delete(**keys.DRAINING, only_if=keys.DRAINING)
    _seen.pop(settings.storage.table, None)
