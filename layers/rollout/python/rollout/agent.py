"""What a user writes: a function marked ``@agent``, and what it returns."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast, overload

from rollout.errors import AgentError, AgentUnavailable, RewardError
from rollout.judgement import ends_agent
from rollout.values import NotJson, jsonable, number

F = TypeVar("F", bound=Callable[..., Any])
# Takes how many and a seed, returns instances.
Rows = Callable[[int, int], Iterable[dict[str, Any]]]
# Characters of a metric's name that an error shows.
_LONGEST_NAME = 64

_observers: list[Callable[[BaseException], None]] = []


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
        rows: makes instances for a dataset, from how many and a seed; None where nothing generates them.
    """

    name: str
    function: Callable[[Any], Any]
    replay: bool = True
    rows: Rows | None = None


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(*, replay: bool = True, rows: Rows | None = None) -> Callable[[F], F]: ...
def agent(
    function: F | None = None, /, *, replay: bool = True, rows: Rows | None = None
) -> F | Callable[[F], F]:
    """Mark a function as an agent. The function itself stays as it is and can be called in a test.

    Args:
        replay: see :class:`Agent`.
        rows: see :class:`Agent`; ``rollout rows`` writes a dataset of them.
    """

    def mark(marked: F) -> F:
        marked.__rollout_agent__ = {"replay": replay, "rows": rows}  # type: ignore[attr-defined]
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


@contextmanager
def observing_errors(on_error: Callable[[BaseException], None]) -> Generator[None]:
    """Hand over what agents of this process raise, while the block lasts.

    For whoever rehearses an agent: the exception quotes content, so no result, answer or log has it.

    Args:
        on_error: called from the agent's thread, with each exception that is not the episode's own.
    """
    _observers.append(on_error)
    try:
        yield
    finally:
        _observers.remove(on_error)


def observe_error(error: BaseException) -> None:
    """Hand an agent's exception to everybody who observes."""
    for on_error in tuple(_observers):
        on_error(error)


def call(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function that may be ``async def``, and wait for its value."""
    value = function(argument)
    if not inspect.iscoroutine(value):
        return value
    import asyncio  # a cold start without coroutines does not pay for it

    return asyncio.run(cast("Any", value))


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
            "which is not installed; add it to environments/requirements.txt."
        ) from None
    except BaseException as error:
        if not ends_agent(error):
            raise
        raise AgentUnavailable(
            f"ROLLOUT_AGENT={path!r}: importing {module_name} raised {type(error).__name__} at "
            f"{_place(error)}."
        ) from error


def _place(error: BaseException) -> str:
    """File and line an import failed at: where the text cannot be read, else the last of its frames."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<frozen ")]
    return f"{(own or frames)[-1].filename}:{(own or frames)[-1].lineno}"


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
    rewards = _several(reward)
    if rewards is not None:
        if not rewards:
            raise RewardError(f"Agent {name} returned an empty list of rewards.")
        checked: float | list[float] = [_number(item, f"{name} (per turn)") for item in rewards]
    else:
        checked = _number(reward, name)
    try:
        output = jsonable(outcome.output)
    except NotJson as error:
        raise AgentError(
            f"Agent {name} returned an output that cannot be written as JSON: {error}."
        ) from None
    return Outcome(checked, as_metrics(outcome.metrics, name), output)


def _several(reward: Any) -> Sequence[Any] | None:
    """The items of a list of rewards, an array among them; None for a single one."""
    if getattr(reward, "ndim", 0) == 1 and callable(getattr(reward, "tolist", None)):
        return reward.tolist()
    if isinstance(reward, Sequence) and not isinstance(reward, (str, bytes, bytearray)):
        return cast("Sequence[Any]", reward)
    return None


def as_metrics(metrics: Any, name: str) -> dict[str, float]:
    """Metrics as finite floats by name.

    Args:
        metrics: a mapping, as an agent returned it or left it in ``episode.metrics``.
        name: the agent's, for the message.

    Raises:
        RewardError: naming the agent and the metric.
    """
    if not isinstance(metrics, Mapping):
        raise RewardError(
            f"Agent {name} has metrics of type {type(metrics).__name__}; they must be a dict of numbers."
        )
    known = cast("Mapping[Any, Any]", metrics)
    return {
        str(key): _number(item, name, f"metric {str(key)[:_LONGEST_NAME]!r}")
        for key, item in known.items()
    }


def usable_metrics(metrics: Any) -> dict[str, float]:
    """What can be kept of the metrics of a rollout that has failed anyway."""
    kept: dict[str, float] = {}
    for key, item in (
        cast("Mapping[Any, Any]", metrics).items() if isinstance(metrics, Mapping) else ()
    ):
        with suppress(NotJson):
            kept[str(key)] = number(item)
    return kept


def _number(value: Any, name: str, what: str = "reward") -> float:
    try:
        return number(value)
    except NotJson as error:
        raise RewardError(f"Agent {name} returned a {what} {error.why}.") from None
