"""Python functions as tools: a JSON schema for the model, validated calls for the function.

The schema comes from the function's signature and docstring; pydantic validates what the model sends.
What goes wrong falls into two kinds. The model's mistakes and a tool's own refusal are *data*: they
are returned to the model as the tool's result. A broken tool is *infrastructure*: it raises
:class:`~rollout.errors.ToolBroken` and never becomes text in a trajectory.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.errors import AgentError, RolloutError, ToolBroken


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
        call: takes the arguments as JSON text, returns the function's value.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    call: Callable[[str], Any]

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
        from pydantic import ValidationError

        try:
            value = self.call(arguments)
        except ValidationError as error:
            return ToolResult(f"Error: invalid arguments. {_explain(error)}", failed=True)
        except RolloutError:
            raise
        except OSError as error:
            # ConnectionError and TimeoutError are; a file the tool did not find is its own refusal.
            if not isinstance(error, (ConnectionError, TimeoutError)):
                return ToolResult(f"Error: {error}", failed=True)
            raise ToolBroken(
                f"Tool {self.name!r} failed with {type(error).__name__}; the service behind it is "
                "down or slow."
            ) from error
        except Exception as error:  # noqa: BLE001 - any other exception is the tool's own refusal
            return ToolResult(f"Error: {error or type(error).__name__}", failed=True)
        return ToolResult(value if isinstance(value, str) else _dump(value), failed=False)


def run_patiently(
    tool: Tool, arguments: str, *, attempts: int, remaining: Callable[[], float]
) -> ToolResult:
    """Call a tool; call it again, after a pause, while its infrastructure is broken.

    Args:
        attempts: in all, at most.
        remaining: seconds left; no attempt starts when a pause would use them up.

    Raises:
        ToolBroken: it stayed broken; an outage never becomes text in a trajectory.
    """
    pause = 0.25
    for attempt in range(1, attempts + 1):
        try:
            return tool.run(arguments)
        except ToolBroken:
            if attempt == attempts or remaining() <= pause:
                raise
            time.sleep(pause)
            pause *= 4
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

    def call(arguments: str) -> Any:
        sent = model.model_validate_json(arguments or "{}")
        return function(**{field: getattr(sent, field) for field in fields})

    return Tool(name=name, description=description, parameters=parameters, call=call)


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


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
