"""Another time of day for one agent's code, and for nobody else's."""

from __future__ import annotations

import datetime as dt
import inspect
import itertools
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any


class _Clock:
    """A time that is shifted, and that goes on by ``flow`` seconds whenever it is read."""

    def __init__(self, shift: float, flow: float) -> None:
        self._shift, self._reads, self._flow = shift, itertools.count(), flow

    def seconds(self) -> float:
        return time.time() + self._shift + next(self._reads) * self._flow

    def nanoseconds(self) -> int:
        return int(self.seconds() * 1e9)

    def local(self, seconds: float | None = None) -> time.struct_time:
        return time.localtime(self.seconds() if seconds is None else seconds)

    def utc(self, seconds: float | None = None) -> time.struct_time:
        return time.gmtime(self.seconds() if seconds is None else seconds)


@contextmanager
def clock_of(agent: Callable[..., Any], shift: float, flow: float = 0.0) -> Generator[None]:
    """Give the modules of an agent's package another clock, while the block lasts.

    ``time``, ``datetime`` and what was imported from them are replaced by name in those modules alone:
    no clock of the process is touched. Code elsewhere that reads a clock for the agent is not reached.

    Args:
        agent: whose package it is.
        shift: seconds from now.
        flow: seconds by which the clock goes on whenever it is read.
    """
    clock = _Clock(shift, flow)
    replaced: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in _modules(agent):
            for name, value in list(vars(module).items()):
                other = _replacement(value, clock)
                if other is not None:
                    replaced.append((module, name, value))
                    setattr(module, name, other)
        yield
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)


def _modules(agent: Callable[..., Any]) -> Iterator[ModuleType]:
    own = inspect.unwrap(agent).__module__
    for name, module in list(sys.modules.items()):
        if name == own or name.startswith(own + "."):
            yield module


def _replacement(value: Any, clock: _Clock) -> Any:
    """What stands in for a name that reads a clock; None for any other."""
    plain = {
        "time": clock.seconds,
        "time_ns": clock.nanoseconds,
        "localtime": clock.local,
        "gmtime": clock.utc,
        "monotonic": clock.seconds,
        "perf_counter": clock.seconds,
    }
    if value is time:
        return SimpleNamespace(**{**vars(time), **plain})
    if value is dt:
        dates = {"datetime": _datetime(clock), "date": _date(clock)}
        return SimpleNamespace(**{**vars(dt), **dates})
    if value is dt.datetime:
        return _datetime(clock)
    if value is dt.date:
        return _date(clock)
    if inspect.isbuiltin(value) and getattr(time, value.__name__, None) is value:
        return plain.get(value.__name__)
    return None


def _datetime(clock: _Clock) -> type:
    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.fromtimestamp(clock.seconds(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return dt.datetime.fromtimestamp(clock.seconds(), dt.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return dt.datetime.fromtimestamp(clock.seconds())  # noqa: DTZ006 - as the original

    return Shifted


def _date(clock: _Clock) -> type:
    class Shifted(dt.date):
        @classmethod
        def today(cls) -> Any:
            return dt.date.fromtimestamp(clock.seconds())  # noqa: DTZ012 - as the original

    return Shifted
