"""A policy that a user writes: ``module:name`` of a function, a class or an object.

A function is given a :class:`~devkit.emulator.job_runtime.SampleRequest` and returns the next assistant
message, its text, or a whole chat completion. An object has it as its method ``sample``; one that learns
has ``learn`` and ``describe`` besides (``devkit.training.grpo.Learner``). A class is called once, without
arguments. A plain function is called from many threads, an ``async`` one in one event loop.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from devkit.emulator.job_runtime import PolicyFunction, SampleRequest, completed
from devkit.emulator.service_model import ServiceError, shape_of
from devkit.raised import Raised

_NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_named(text: str) -> bool:
    """Whether a policy's name is ``module:name``."""
    return bool(_NAMED.fullmatch(text))


def load(text: str) -> Any:
    """What ``module:name`` names; a class is called.

    Raises:
        ValueError: saying what is missing, or what importing or calling it raised.
    """
    module, _, path = text.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found() if inspect.isclass(found) else found
    except Exception as error:
        raise ValueError(f"policy {text!r}: {type(error).__name__}: {error}") from error


class PluggedPolicy:
    """A user's policy, ready to be asked.

    Args:
        text: ``module:name``.

    Raises:
        ValueError: there is none, or it cannot be asked.
    """

    def __init__(self, text: str) -> None:
        self.policy = load(text)
        self._answer = _sampler(self.policy, text)
        self._name = text
        self.raised = Raised()
        self.sample: PolicyFunction = self._plain
        if inspect.iscoroutinefunction(self._answer):
            self.sample = self._awaited

    def _plain(self, asked: SampleRequest) -> Any:
        with self._judged():
            return completed(asked, _message(self._answer(asked)))

    async def _awaited(self, asked: SampleRequest) -> Any:
        with self._judged():
            return completed(asked, _message(await self._answer(asked)))

    @contextmanager
    def _judged(self) -> Generator[None]:
        """What the policy raises, or answers that is no message, counts as the runtime's outage."""
        try:
            yield
        except ServiceError:
            raise
        except Exception as error:
            self.raised.note(error)
            raise ServiceError(shape_of(500), f"The policy {self._name} failed.") from error

    def close(self) -> None:
        """Let the policy let go of what it holds, if it has a ``close``."""
        close = getattr(self.policy, "close", None)
        if callable(close):
            close()


def _sampler(policy: Any, text: str) -> PolicyFunction:
    found = policy if inspect.isfunction(policy) else getattr(policy, "sample", policy)
    if not callable(found):
        raise ValueError(f"policy {text!r} is neither a function nor has it a method sample")
    try:
        inspect.signature(found).bind(object())
    except TypeError:
        raise ValueError(
            f"policy {text!r} must take one argument, the SampleRequest (docs/rehearsal.md)"
        ) from None
    return cast("PolicyFunction", found)


def _message(said: Any) -> dict[str, Any]:
    if isinstance(said, str):
        return {"content": said}
    if isinstance(said, Mapping):
        return dict(cast("Mapping[str, Any]", said))
    raise TypeError(
        f"a policy returns a message, a text or a chat completion, not {type(said).__name__}"
    )
