"""Tool calls that a policy wrote as plain text, read back.

Policies in training slip from the tool-call format into text, after which no tool runs, every reward of
a group is equal and nothing is learned. The forms read here are those the common chat templates teach.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, cast

from rollout.tools import ToolCall

# A reply longer than this is not searched: the policy wrote it, and a search must stay cheap.
_LONGEST = 100_000
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([\w.-]+)>\s*(.*?)\s*(?:</function>|$)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\s*(.*?)\s*</parameter>", re.DOTALL)
_FENCED = re.compile(r"```(?:json|tool_code|python)?\s*\n(.*?)\n```", re.DOTALL)


def text_calls(text: str, names: Collection[str]) -> list[ToolCall]:
    """The calls of known tools that a text holds; empty if there is none.

    Read are: ``<tool_call>{json}</tool_call>``, ``<function=name>{json}</function>`` with a JSON object
    or ``<parameter=…>`` tags, a fenced block or the whole text that is a JSON object or list with
    ``name`` and ``arguments`` (or ``parameters``), and ``[name(argument=value)]``.

    Args:
        text: a reply's text.
        names: of the tools that were offered; anything else is no call.
    """
    if len(text) > _LONGEST:
        return []
    for form in (_functions, _objects, _pythonic):
        found = [(name, arguments) for name, arguments in form(text) if name in names]
        if found:
            return [
                ToolCall(f"text_{index}", name, json.dumps(arguments))
                for index, (name, arguments) in enumerate(found)
            ]
    return []


def _functions(text: str) -> Iterator[tuple[str, Any]]:
    for name, inner in _FUNCTION.findall(text):
        tags = _PARAMETER.findall(inner)
        if tags:
            yield name, {key: _loose(value) for key, value in tags}
        else:
            yield name, _json(inner) or {}


def _objects(text: str) -> Iterator[tuple[str, Any]]:
    pieces = _TAGGED.findall(text) or _FENCED.findall(text) or [text.strip()]
    for piece in pieces:
        value = _json(piece)
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                continue
            known = cast("dict[str, Any]", item)
            known = known.get("function") if isinstance(known.get("function"), dict) else known
            call = cast("dict[str, Any]", known)
            arguments = call.get("arguments", call.get("parameters", {}))
            if isinstance(arguments, str):
                arguments = _json(arguments)
            yield str(call.get("name", "")), arguments


def _pythonic(text: str) -> Iterator[tuple[str, Any]]:
    for piece in [*_FENCED.findall(text), text.strip()]:
        try:
            body = ast.parse(piece, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in body.elts if isinstance(body, ast.List) else [body]:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
                try:
                    pairs = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
                    json.dumps(pairs)
                except (ValueError, TypeError, RecursionError):
                    continue
                yield node.func.id, pairs


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _loose(text: str) -> Any:
    """A parameter's text as the JSON it may be, else as text."""
    value = _json(text)
    return text if value is None else value
