"""Tool calls that a policy wrote as plain text, read back.

Policies in training slip from the tool-call format into text, after which no tool runs, every reward of
a group is equal and nothing is learned. The forms read here are those the common chat templates teach.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Collection, Iterator
from typing import Any, cast

from rollout.tools import ToolCall

# A reply longer than this is not searched: the policy wrote it, and a search must stay cheap.
_LONGEST = 100_000
_TAGGED = re.compile("<tool_call>()")
_FUNCTION = re.compile(r"<function=([\w.-]+)>")
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>")
_FENCED = re.compile(r"```(?:json|tool_code|python)?\s*\n()")


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
    for name, inner in _blocks(text, _FUNCTION, "</function>", cut=True):
        tags = list(_blocks(inner, _PARAMETER, "</parameter>", cut=False))
        if tags:
            yield name, {key: _loose(value) for key, value in tags}
        else:
            yield name, _json(inner) or {}


def _objects(text: str) -> Iterator[tuple[str, Any]]:
    tagged = [inner for _, inner in _blocks(text, _TAGGED, "</tool_call>", cut=True)]
    pieces = tagged or _fenced(text) or [text.strip()]
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
    for piece in [*_fenced(text), text.strip()]:
        try:
            with warnings.catch_warnings():
                # The parser warns of odd escapes in what the policy wrote; that is not for the log.
                warnings.simplefilter("ignore")
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


def _fenced(text: str) -> list[str]:
    return [inner for _, inner in _blocks(text, _FENCED, "\n```", cut=False)]


def _blocks(
    text: str, opening: re.Pattern[str], closing: str, *, cut: bool
) -> Iterator[tuple[str, str]]:
    """What each opening captures, and the text from there to its closing, stripped.

    Found piece by piece, in time by the text's length. One expression for the whole, with a lazy gap
    between runs of white space, takes its square, and holds the interpreter (and with it the
    rollout's deadline) for all that time.

    Args:
        cut: whether a block may end with the text instead of its closing.
    """
    place = 0
    while (head := opening.search(text, place)) is not None:
        end = text.find(closing, head.end())
        if end < 0:
            if cut:
                yield head[1], text[head.end() :].strip()
            return
        yield head[1], text[head.end() : end].strip()
        place = end + len(closing)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _loose(text: str) -> Any:
    """A parameter's text as the JSON it may be, else as text."""
    value = _json(text)
    return text if value is None else value
