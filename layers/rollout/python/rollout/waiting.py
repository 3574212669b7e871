"""Waiting no longer than one means to: for an agent that blocks, a server that sends a byte a second."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class StillWaiting(Exception):
    """The function had not returned in time; its thread cannot be ended and may still do so."""


def wait_for(function: Callable[[], T], seconds: float, *, name: str) -> T:
    """Run a function on a thread of its own, and wait for it so long at most.

    A thread because nothing else ends the wait: time limits of sockets count from byte to byte.

    Args:
        seconds: how long to wait.
        name: the thread's.

    Raises:
        StillWaiting: it has not returned.
        BaseException: whatever the function raised.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(function())
        except BaseException as error:  # noqa: BLE001 - carried over to the waiting thread
            raised.append(error)

    context = contextvars.copy_context()
    thread = Thread(target=context.run, args=(work,), name=name, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if raised:
        try:
            raise raised[0]
        finally:
            raised.clear()  # the error holds this frame: the two would keep each other, and what they saw
    if not returned:
        raise StillWaiting
    return returned[0]
