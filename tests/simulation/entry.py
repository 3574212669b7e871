"""The library on the simulated world: its clients, its clock and its threads, and its entry points."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rollout.adapters.transport  # noqa: F401 - loaded now, so that its clock is replaced as well
from rollout import text_tool_calls, tools  # noqa: F401
from rollout.aws import clients, durable_steps  # noqa: F401
from rollout.service import (  # noqa: F401
    close_abandoned,
    play_durable,
    play_inline,
    start_durable,
    sweep,
)
from rollout.storage.totals import TotalsWriter
from tests.simulation import agents, world


class Silent:
    """Stands in for the log: a million histories write none."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Random(types.SimpleNamespace):
    """Stands in for the module ``random``: jitter comes from the seed."""

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return world.current().jitter.uniform(low, high)

    @staticmethod
    def shuffle(items: list[Any]) -> None:
        dice = world.current().jitter
        for last in range(len(items) - 1, 0, -1):
            other = dice.below(last + 1)
            items[last], items[other] = items[other], items[last]


def _token() -> Any:
    return types.SimpleNamespace(hex=f"{world.current().jitter.number():032x}")


@contextmanager
def simulated() -> Iterator[None]:
    """While this lasts, the library's clock, jitter, threads, names and clients are the world's.

    Only names in the library's own modules are replaced: the process around it keeps its clock.
    """
    import random

    jitter = _Random(Random=random.Random)
    stand_ins = {
        "time": (time, world.Time),
        "random": (random, jitter),
        "Thread": (threading.Thread, world.Thread),
        "uuid4": (None, _token),
    }
    restore: list[tuple[Any, str, Any]] = []

    def replace(module: Any, name: str, value: Any) -> None:
        restore.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    library = [
        module for name, module in sys.modules.items() if name.partition(".")[0] == "rollout"
    ]
    for module in [*library, agents]:
        for name, (real, stand_in) in stand_ins.items():
            known = getattr(module, name, None)
            if known is not None and (known is real or real is None):
                replace(module, name, stand_in)
        if getattr(module, "uuid", None) is not None:
            replace(module, "uuid", types.SimpleNamespace(uuid4=_token))
        if module.__name__ != "rollout.telemetry.logs" and hasattr(module, "logs"):
            replace(module, "logs", Silent())
    replace(clients, "client", _client)
    for name in ("accepted", "ended", "reopened"):  # best effort, and not looked at here
        replace(TotalsWriter, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for module, name, value in reversed(restore):
            setattr(module, name, value)


def _client(
    service: str,
    region: str,
    endpoint: str = "",
    *,
    read_timeout: float = 60.0,
    attempts: int = 3,
) -> Any:
    del region, endpoint
    return world.current().client(service, read_timeout=read_timeout, attempts=attempts)
