"""What a user writes: a function marked ``@agent``, and what it returns."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import math
import numbers
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast, overload

from rollout.errors import AgentUnavailable, RewardError

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rollout came to, when a bare reward is not enough.

    Args:
        reward: one finite number for the rollout, or one per captured turn.
        metrics: numbers to remember beside the reward, by name.
        output: anything JSON, returned to the caller and kept with the trajectory.
    """

    reward: float | Sequence[float]
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    output: Any = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A loaded agent.

    Args:
        name: ``module:function``.
        function: takes an Episode; returns a reward, a list of rewards or an Outcome. May be async.
        replay: False where the function is not deterministic between its episode's calls; then a
            durable rollout is one at-most-once step and does not survive an interruption.
    """

    name: str
    function: Callable[[Any], Any]
    replay: bool = True


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(*, replay: bool = True) -> Callable[[F], F]: ...
def agent(function: F | None = None, /, *, replay: bool = True) -> F | Callable[[F], F]:
    """Mark a function as an agent. The function itself stays as it is and can be called in a test.

    Args:
        replay: see :class:`Agent`.
    """

    def mark(marked: F) -> F:
        marked.__rollout_agent__ = {"replay": replay}  # type: ignore[attr-defined]
        return marked

    return mark if function is None else mark(function)


@lru_cache(maxsize=16)
def load_agent(path: str) -> Agent:
    """Import an agent by ``module:function``, e.g. ``environments.calculator:calculator``.

    Raises:
        AgentUnavailable: saying what is wrong, where, and what to write instead.
    """
    module_name, colon, function_name = path.partition(":")
    if not (colon and module_name and function_name):
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r} is not of the form module:function; "
            "write for example environments.calculator:calculator."
        )
    module = _import(module_name, path)
    function = getattr(module, function_name, None)
    members = cast("dict[str, Any]", vars(module))
    marked = sorted(name for name, value in members.items() if _options(value) is not None)
    if function is None:
        hint = f"it has {', '.join(marked)}" if marked else "no function in it is marked @agent"
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r}: {module.__file__} has no {function_name!r}; {hint}."
        )
    options = _options(function)
    if options is None:
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r}: {function_name!r} in {module.__file__} is not an agent; "
            "write @agent (from rollout import agent) above its def."
        )
    _check_signature(function, path)
    return Agent(name=path, function=function, **options)


def call(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function that may be ``async def``, and wait for its value."""
    value = function(argument)
    return asyncio.run(cast("Any", value)) if inspect.iscoroutine(value) else value


def _options(value: Any) -> dict[str, Any] | None:
    # vars(), not getattr(): a mock or proxy object would answer to any attribute.
    return getattr(value, "__rollout_agent__", None) if inspect.isfunction(value) else None


def _import(module_name: str, path: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise AgentUnavailable(
                f"ROLLOUT_AGENT={path!r}: there is no module {error.name!r}; put your agent in "
                "environments/NAME/__init__.py and name it environments.NAME:FUNCTION."
            ) from None
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r}: importing {module_name} needs the package {error.name!r}, "
            "which is not installed; add it to functions/rollout/requirements.txt."
        ) from None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r}: importing {module_name} raised {type(error).__name__} at "
            f"{frame.filename}:{frame.lineno}."
        ) from error


def _check_signature(function: Callable[..., Any], path: str) -> None:
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r} must take exactly one argument, the episode: "
            f"def {function.__name__}(episode: Episode) -> float."
        ) from None


def as_outcome(value: Any, name: str) -> Outcome:
    """Turn what an agent returned into an Outcome with a checked reward.

    Args:
        value: a number, a sequence of numbers or an Outcome.
        name: the agent's name, for the message.

    Raises:
        RewardError: naming the agent and the type it returned.
    """
    outcome = value if isinstance(value, Outcome) else Outcome(value)
    reward = outcome.reward
    if isinstance(reward, Sequence) and not isinstance(reward, (str, bytes, bytearray)):
        if not reward:
            raise RewardError(f"Agent {name} returned an empty list of rewards.")
        checked: float | list[float] = [_number(item, f"{name} (per turn)") for item in reward]
    else:
        checked = _number(reward, name)
    metrics = {
        str(key): _number(item, name, what="metric") for key, item in outcome.metrics.items()
    }
    return Outcome(checked, metrics, outcome.output)


def _number(value: Any, name: str, *, what: str = "reward") -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise RewardError(
            f"Agent {name} returned a {what} of type {type(value).__name__}; return a finite float."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RewardError(f"Agent {name} returned a {what} that is {number}; it must be finite.")
    return number
