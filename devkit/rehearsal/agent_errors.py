"""What an agent raised, told to its author: no log of the stack may hold it, for it can quote content."""

from __future__ import annotations

import functools
import importlib
import inspect
import traceback
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollout.agent import load_agent
from rollout.errors import RolloutError

_LONGEST = 300


@contextmanager
def witnessed(agent: str, raised: Counter[str]) -> Generator[None]:
    """Count what an agent raises in this process, by message and place, while the block lasts.

    Args:
        agent: ``module:function``.
        raised: is added to.
    """
    module_name, _, name = agent.partition(":")
    module = importlib.import_module(module_name)
    original = getattr(module, name)

    def note(error: BaseException) -> None:
        if not _ours(error):
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            raised[f"{type(error).__name__}: {error}"[:_LONGEST] + f" ({place})"] += 1

    setattr(module, name, _noting(original, note))
    load_agent.cache_clear()
    try:
        yield
    finally:
        setattr(module, name, original)
        load_agent.cache_clear()


def _noting(function: Any, note: Any) -> Any:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waited(episode: Any) -> Any:
            try:
                return await function(episode)
            except Exception as error:
                note(error)
                raise

        return waited

    @functools.wraps(function)
    def called(episode: Any) -> Any:
        try:
            return function(episode)
        except Exception as error:
            note(error)
            raise

    return called


def _ours(error: BaseException | None) -> bool:
    """Whether it is, or a framework wrapped, an error of ours; that one is in the rollout's record."""
    while error is not None:
        if isinstance(error, RolloutError):
            return True
        error = error.__cause__ or error.__context__
    return False
