"""What an author wrote as ``async def`` is awaited, wherever it is called from.

An event loop on a thread of its own, made when the first awaitable comes and kept for the conversation: a
client that one tool call opened can be used by the next, and a caller that itself runs in a loop (an
``async def`` agent) does no harm.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from typing import Any, cast

from rollout.errors import OutOfTime

_present: ContextVar[_Loop | None] = ContextVar("rollout_loop", default=None)
# Seconds a loop has to end what its tasks left open.
_CLOSING = 5.0


class _Loop:
    """An event loop on a thread, started when it is needed."""

    def __init__(self, remaining: Callable[[], float] | None) -> None:
        self._remaining = remaining
        self._loop: Any = None
        self._thread: Thread | None = None

    def wait(self, awaitable: Any) -> Any:
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(target=self._run, name="awaiting", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._loop)
        try:
            done, result = future.result(self._remaining() if self._remaining else None)
        except TimeoutError:
            future.cancel()
            raise OutOfTime("The rollout's time was over while something was awaited.") from None
        except BaseException:
            future.cancel()
            raise
        if not done:
            raise result
        return result

    def _run(self) -> None:
        while not self._loop.is_closed():
            try:
                self._loop.run_forever()
                break
            except (SystemExit, KeyboardInterrupt):
                continue  # of one task; asyncio lets them end the loop, and its other tasks with it

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        import asyncio

        ended = asyncio.run_coroutine_threadsafe(_end(), self._loop)
        try:
            ended.result(_CLOSING)
        except Exception:  # noqa: BLE001 - a task that will not end must not hold up the rollout
            ended.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING)
        if not self._loop.is_running():
            self._loop.close()


@contextmanager
def awaiting(remaining: Callable[[], float] | None = None) -> Generator[None]:
    """Within this, :func:`awaited` uses one event loop.

    Args:
        remaining: seconds that are left for one await; None for no limit.
    """
    loop = _Loop(remaining)
    token = _present.set(loop)
    try:
        yield
    finally:
        _present.reset(token)
        loop.close()


def awaited(value: Any) -> Any:
    """A value as it is, or what it comes to where it must be awaited.

    Raises:
        OutOfTime: the conversation's time was over first.
    """
    if not inspect.isawaitable(value):
        return value
    loop = _present.get()
    if loop is not None:
        return loop.wait(value)
    with awaiting():
        return cast("_Loop", _present.get()).wait(value)


async def _awaited(value: Any) -> tuple[bool, Any]:
    """Whether it returned, and what it returned or raised.

    As a value: a TimeoutError of its own is no timeout of the waiting, and SystemExit would end the loop.
    """
    try:
        return True, await value
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - raised by who waits
        return False, error


async def _end() -> None:
    """Cancel what tasks are left, and close what asynchronous generators hold open."""
    import asyncio

    current = asyncio.current_task()
    left: list[Any] = [task for task in asyncio.all_tasks() if task is not current]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
