"""Python functions as tools: a JSON schema for the model, validated calls for the function.

The schema comes from the function's signature and docstring; pydantic validates what the model sends.
What goes wrong falls into two kinds. The model's mistakes and a tool's own refusal are *data*: they
are returned to the model as the tool's result. A broken tool is *infrastructure*: it raises
:class:`~rollout.errors.ToolBroken` and never becomes text in a trajectory. Which is which,
:mod:`rollout.judgement` says.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from rollout.awaiting import awaited
from rollout.backoff import Backoff
from rollout.errors import AgentError, RolloutError, ToolBroken, ToolError, ToolRefused
from rollout.judgement import NOTHING, Kinds, Known, ends_agent, judge, types_of
from rollout.values import NotJson, json_text, jsonable

F = TypeVar("F", bound=Callable[..., Any])

_PAUSES = Backoff(first=0.25, longest=60.0, factor=4.0)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call in a reply: the model's id, the tool's name, arguments as JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call came to: the text the model reads, and whether it reports an error."""

    content: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call.

    Args:
        name: as the model writes it.
        description: what the model reads about it.
        parameters: JSON schema of an object.
        call: takes the arguments as JSON text, returns the function's value or an awaitable.
        known: what the author says about exceptions of its own.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    call: Callable[[str], Any]
    known: Known = NOTHING

    def schema(self) -> dict[str, Any]:
        """The entry for ``tools`` of a chat-completions request."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def run(self, arguments: str) -> ToolResult:
        """Call the tool with what the model sent.

        Args:
            arguments: JSON text of an object; may be anything, the model wrote it.

        Raises:
            ToolBroken: the infrastructure behind the tool failed.
        """
        try:
            value = awaited(self.call(arguments))
        except ToolRefused as error:
            return _refusal(error.said)
        except RolloutError:
            raise
        except BaseException as error:
            if not ends_agent(error):
                raise
            return _refusal(self._judged(error))
        try:
            return ToolResult(_written(value), failed=False)
        except NotJson as error:
            return _refusal(f"the tool's result cannot be written as JSON: {error}")

    def _judged(self, error: BaseException) -> str:
        """The text of a refusal.

        Raises:
            ToolBroken: the exception stands for an outage.
        """
        verdict, said = judge(error, self.known)
        if verdict == "refusal":
            return _said(error)
        if isinstance(said, ToolBroken):
            raise said
        raise ToolBroken(
            f"Tool {self.name!r} failed with {type(said).__name__}; the service behind it is "
            "down or slow."
        ) from error


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, outage: Kinds = ..., refusal: Kinds = ...) -> Callable[[F], F]: ...
def tool(
    function: F | None = None, /, *, outage: Kinds = (), refusal: Kinds = ()
) -> F | Callable[[F], F]:
    """Say what a tool's own exceptions mean. The function itself stays as it is.

    Example::

        @tool(outage=WarehouseDown, refusal=TimeoutError)  # what it waits for is the policy's query
        def query(sql: str) -> list[dict]: ...

    Args:
        outage: exception types that mean that what is behind the tool is down.
        refusal: exception types that are the policy's doing, where :mod:`rollout.judgement` would read
            an outage.
    """

    def mark(marked: F) -> F:
        marked.__rollout_tool__ = Known(types_of(outage), types_of(refusal))  # type: ignore[attr-defined]
        return marked

    return mark if function is None else mark(function)


@contextmanager
def policy_code() -> Generator[None]:
    """Whatever is raised in here is the policy's doing: run code it wrote, or wait for it, within this.

    Example::

        with policy_code():
            return pool.submit(run, code).result(timeout=5)  # no outage, however it ends

    Raises:
        ToolRefused: in place of any exception, SystemExit and TimeoutError included. In a tool it is text
            for the model; elsewhere the agent catches it and scores what was reached.
    """
    try:
        yield
    except RolloutError:
        raise
    except BaseException as error:
        if not ends_agent(error):
            raise
        raise ToolRefused(f"{type(error).__name__}: {_said(error)}") from error


def ending_at_outages(function: F, end: Callable[[RolloutError], None]) -> F:
    """A function that hands over what an outage behind it raises, besides raising it.

    Args:
        function: sync or async; its signature, types and docstring stay, for frameworks read them.
        end: called with the ToolBroken that the exception stands for.
    """
    known = getattr(function, "__rollout_tool__", NOTHING)

    @contextmanager
    def judged() -> Generator[None]:
        try:
            yield
        except ToolError as error:
            end(error)
            raise
        except BaseException as error:
            if not ends_agent(error) or isinstance(error, RolloutError):
                raise
            verdict, said = judge(error, known)
            if verdict == "refusal":
                raise
            broken = ToolBroken(
                f"Tool {function.__name__!r} failed with {type(said).__name__}; the service behind it "
                "is down or slow."
            )
            end(broken)
            raise broken from error

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        with judged():
            return function(*arguments, **named)

    @wraps(function)
    async def awaited_call(*arguments: Any, **named: Any) -> Any:
        with judged():
            return await function(*arguments, **named)

    return cast("F", awaited_call if inspect.iscoroutinefunction(function) else called)


def run_with_retries(
    tool: Tool, arguments: str, *, attempts: int, remaining: Callable[[], float]
) -> ToolResult:
    """Call a tool; call it again, after a pause, while its infrastructure is broken.

    Args:
        attempts: in all, at most.
        remaining: seconds left; no attempt starts when a pause would use them up.

    Raises:
        ToolBroken: it stayed broken; an outage never becomes text in a trajectory.
    """
    for attempt in range(1, attempts + 1):
        try:
            return tool.run(arguments)
        except ToolBroken:
            pause = _PAUSES.pause(attempt)
            if attempt == attempts or remaining() <= pause:
                raise
            time.sleep(pause)
    raise AssertionError("attempts is at least one")


def as_tool(function: Callable[..., Any] | Tool) -> Tool:
    """Describe a Python function to the model.

    Args:
        function: with annotated parameters; its docstring's first paragraph is the description and
            its ``Args:`` section describes the parameters. A :class:`Tool` is returned as it is.

    Raises:
        AgentError: the function cannot be described (no name, ``*args``, positional-only parameters).
    """
    if isinstance(function, Tool):
        return function
    described = _described.get(function) if inspect.isfunction(function) else None
    if described is None:
        described = _describe(function)
        if inspect.isfunction(function):
            _described[function] = described
    model = described.model

    def call(arguments: str) -> Any:
        from pydantic import ValidationError

        try:
            sent = model.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolRefused(f"invalid arguments. {_explain(error)}") from None
        return function(**{field: getattr(sent, field) for field in described.fields})

    known = getattr(function, "__rollout_tool__", NOTHING)
    # A copy: what one rollout does to its tool's schema, no other sees.
    return Tool(described.name, described.text, deepcopy(described.parameters), call, known)


@dataclass(frozen=True, slots=True)
class _Description:
    """What a function's signature and docstring say; holds nothing of the function itself."""

    name: str
    text: str
    fields: tuple[str, ...]
    model: Any
    parameters: dict[str, Any]


# Reading a function takes a millisecond, half of what a rollout's own code does. A function that is made
# anew in each rollout is gone from here with it.
_described: WeakKeyDictionary[Callable[..., Any], _Description] = WeakKeyDictionary()


def _describe(function: Callable[..., Any]) -> _Description:
    from pydantic import ConfigDict, Field, create_model

    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise AgentError(f"Tool {function!r} has no usable name; define it with def.")
    description, of_parameter = _docstring(function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise AgentError(f"Tool {name!r}: parameter {parameter.name!r} cannot be sent by name.")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (
            annotation,
            Field(default, description=of_parameter.get(parameter.name)),
        )
    # A misspelt argument must come back to the model, not vanish; so must 1e999 and NaN, which no
    # message and no output could hold.
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    model = create_model(name, __config__=config, **fields)
    parameters = model.model_json_schema()
    parameters.pop("title", None)
    return _Description(name, description, tuple(fields), model, parameters)


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description and the parameters' descriptions from a docstring of any common style."""
    import docstring_parser

    parsed = docstring_parser.parse(inspect.getdoc(function) or "")
    description = (parsed.description or "").strip()
    return description, {p.arg_name: p.description or "" for p in parsed.params}


def _explain(error: Any) -> str:
    """A pydantic error in one line the model can act on."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}"
        for item in error.errors(include_url=False)[:5]
    )


def _written(value: Any) -> str:
    """What the model reads of a tool's value: text as it is, anything else as JSON."""
    return jsonable(value) if isinstance(value, str) else json_text(value)


def _refusal(said: str) -> ToolResult:
    return ToolResult(f"Error: {said}", failed=True)


def _said(error: BaseException) -> str:
    """An exception's text, or its type's name; half surrogate pairs could be written nowhere."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the exception's class is anybody's
        text = ""
    return text.encode(errors="replace").decode() or type(error).__name__
