"""Ctrl-C and SIGTERM: a command that plays stops in order, one that serves waits for them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console

# Seconds that rollouts in flight are waited for after Ctrl-C.
DRAIN_SECONDS = 10.0
# Exit code of a command that was stopped before its end.
INTERRUPTED = 130
_asked_to_stop = threading.Event()


def was_asked_to_stop() -> bool:
    """Whether this process was asked to stop."""
    return _asked_to_stop.is_set()


@contextmanager
def stopping(console: Console) -> Generator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        _asked_to_stop.set()
        console.print(
            f"\nStopping: waiting up to {DRAIN_SECONDS:g} s for rollouts in flight (again: at once)"
        )

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_signal(ready: Callable[[], None] = lambda: None) -> None:
    """Wait until the process is told to stop.

    Args:
        ready: called once a signal stops it in order: what is told before may be answered too early.
    """
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        _asked_to_stop.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    ready()
    stop.wait()
