"""Tool calls that a policy wrote as plain text, read back.

Policies in training slip from the tool-call format into text, after which no tool runs, every reward of
a group is equal and nothing is learned. The forms read here are those the common chat templates teach:

==============================================  ==================================================
``<tool_call>{json}</tool_call>``               Hermes, Qwen; ``<|tool_call|>`` of Phi and Granite
``<function=name>…</function>``                 Llama's JSON, Qwen-Coder's ``<parameter=key>``
``<invoke name="…">``                           with ``<parameter name="…">``: MiniMax, DeepSeek's DSML
``<tool_call>name<arg_key>…``                   GLM
``<|python_tag|>``                              Llama: JSON, or ``name.call(key=value)``
``[TOOL_CALLS]``                                Mistral: a JSON list, or ``name[ARGS]{json}``
``<｜tool▁call▁begin｜>``                        DeepSeek; ``<|tool_call_begin|>`` of Kimi
``<|channel|>… to=functions.name``              gpt-oss
``call:name{key:value}``                        Gemma, between its own marks
JSON or ``name(key=value)`` and nothing else    whole text, or one fenced block
==============================================  ==================================================

What the policy thinks is no call (:mod:`rollout.thoughts`), nor is what it quotes: in a fenced block
beside prose, between backticks or quotation marks.
"""

# ruff: noqa: RUF001, RUF002 - DeepSeek's marks are written with full-width bars

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast

from rollout.thoughts import said
from rollout.tools import ToolCall

# A reply longer than this is not searched: the policy wrote it, and a search must stay cheap.
_LONGEST = 100_000
# Calls of one text; the budget of tool calls is what really bounds them.
_MOST = 1_000

_TAGGED = re.compile(r"<tool_call>()|<\|tool_call\|>()|<function_call>()|<\|tool_call_start\|>()")
_TAGGED_END = r"</tool_call>|<\|/tool_call\|>|</function_call>|<\|tool_call_end\|>"
_FUNCTION = re.compile(r"<function=([\w.-]+)>|<(?:\w+:|｜DSML｜)?invoke name=\"([\w.-]+)\">")
_FUNCTION_END = r"</function>|</(?:\w+:|｜DSML｜)?invoke>"
_PARAMETER = re.compile(
    r"<parameter=([\w.-]+)>|<(?:｜DSML｜)?parameter name=\"([\w.-]+)\"(?: string=\"(?:true|false)\")?>"
)
_PARAMETER_END = r"</(?:｜DSML｜)?parameter>"
_ARGUMENT = re.compile(r"<arg_key>([^<]*)</arg_key>\s*<arg_value>")
# A name, then its arguments as JSON.
_NAMED = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([\w.-]+)(?:<｜tool▁sep｜>)?\s*(?:```json\s*)?"
    r"|<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*"
    r"|<\|channel\|>[^<]{0,200}to=(?:functions\.)?([\w.-]{1,128})[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>\s*"
    r"|\[TOOL_CALLS\]\s*([A-Za-z_][\w.-]*)(?:\[CALL_ID\][\w-]*)?(?:\[ARGS\])?\s*(?=\{)"
)
_LISTED = re.compile(r"\[TOOL_CALLS\]\s*(?=[\[{])|<\|python_tag\|>\s*(?=[\[{])")
_LLAMA = re.compile(r"<\|python_tag\|>\s*([\w-]{1,128})\.call\(")
_GEMMA = re.compile(r"(?:<\|tool_call>|<start_function_call>)\s*call:([\w.-]+)\s*\{")
_GEMMA_END = r"<tool_call\|>|<end_function_call>"
_GEMMA_TEXT = re.compile(r"<\|\"\|>(.*?)<\|\"\|>|<escape>(.*?)<escape>", re.DOTALL)
_GEMMA_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")
# Where a block begins that owns whatever fences stand inside it.
_BLOCK = re.compile(
    "|".join(p.pattern.replace("()", "") for p in (_TAGGED, _FUNCTION, _NAMED, _LISTED, _GEMMA))
)
_OPENING = re.compile(
    rf"(?P<fence>(?:(?<=\n)|\A)[ \t]{{0,3}}(?:```+|~~~+))[^\n]*\n?|{_BLOCK.pattern}"
)
_BLOCK_END = re.compile(
    rf"{_TAGGED_END}|{_FUNCTION_END}|{_GEMMA_END}|<｜tool▁call▁end｜>|<\|tool_call_end\|>|<\|call\|>|\Z"
)
_INLINE = re.compile(r"`[^`\n]+`")
# Stands around calls while code spans are taken out.
_CALL = "\ue001"
_QUOTES = "\"'“‘«`"
# Words that make an example of the block they introduce.
_EXAMPLE = re.compile(
    r"\b(example|e\.g|for instance|such as|format|syntax|would|could|don't|not|never)\b",
    re.IGNORECASE,
)
_DECODER = json.JSONDecoder()

Schemas = Mapping[str, Mapping[str, Any]]


def text_calls(text: str, tools: Collection[str] | Schemas) -> list[ToolCall]:
    """The calls of known tools that a text holds; empty if there is none.

    Args:
        text: a reply's text; thoughts in it are passed over.
        tools: names of the tools that were offered, anything else is no call; with the JSON schemas of
            their parameters, where they are known: a value written as text keeps its type by them.
    """
    if len(text) > _LONGEST:
        return []
    schemas = cast("Schemas", tools if isinstance(tools, Mapping) else {})
    for piece in _pieces(text):
        for form in _FORMS:
            found = [(name, arguments) for name, arguments in form(piece, schemas) if name in tools]
            if found:
                return [
                    ToolCall(f"text_{index}", name, json.dumps(arguments))
                    for index, (name, arguments) in enumerate(found[:_MOST])
                ]
    return []


# --- what is searched -------------------------------------------------------------------------------


def _pieces(text: str) -> list[str]:
    """The parts of a text in which a call is meant: all of it but thoughts and quotes."""
    if "to=" in text and "<|channel|>" in text:  # a call of gpt-oss stands beside its final channel
        return [text]
    outside, fenced, ended = _unquoted(said(text))
    prose = outside.strip()
    if not prose:
        return fenced
    if fenced and ended and not _BLOCK.search(fenced[-1]) and not _EXAMPLE.search(prose):
        return [prose, fenced[-1]]
    return [prose]


def _unquoted(text: str) -> tuple[str, list[str], bool]:
    """A text without its fenced blocks and code spans, the fenced blocks, and whether one ends it.

    Whichever begins first owns what is inside: a fence inside a call is part of the call, a call inside
    a fence is a quote.
    """
    outside: list[str] = []
    fenced: list[str] = []
    place, ended = 0, False
    while (opening := _OPENING.search(text, place)) is not None:
        outside.append(text[place : opening.start()])
        if opening["fence"]:
            closing = text.find(f"\n{opening['fence']}", opening.end() - 1)
            fenced.append(text[opening.end() : closing if closing >= 0 else len(text)].strip())
            line = text.find("\n", closing + 1) if closing >= 0 else -1
            place = line if line >= 0 else len(text)
            ended = not text[place:].strip()
            continue
        end = _BLOCK_END.search(text, opening.end())
        place = end.end() if end else len(text)
        if not _is_quoted(text, opening.start()):
            outside.append(f"{_CALL}{text[opening.start() : place]}{_CALL}")
        ended = False
    outside.append(text[place:])
    # Code spans go where no call stands; what stands in a call is the call's.
    parts = "".join(outside).split(_CALL)
    parts[::2] = [_INLINE.sub("", part) for part in parts[::2]]
    return "".join(parts), fenced, ended


def _is_quoted(text: str, place: int) -> bool:
    """Whether what begins here stands within quotation marks or backticks."""
    if text[place - 1 : place] in tuple(_QUOTES):
        return True
    line = text.rfind("\n", max(0, place - 200), place) + 1
    return text.count("`", max(line, place - 200), place) % 2 == 1


# --- the forms --------------------------------------------------------------------------------------


def _functions(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    for name, inner in _blocks(text, _FUNCTION, _FUNCTION_END, cut=True):
        tags = list(_blocks(inner, _PARAMETER, _PARAMETER_END, cut=False))
        if tags:
            yield name, _typed(tags, schemas.get(name))
        else:
            value = _json(inner)
            yield name, value if isinstance(value, dict) else {}


def _glm(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    for _, inner in _blocks(text, _TAGGED, _TAGGED_END, cut=True):
        name = inner.split("<arg_key>", 1)[0].strip()
        tags = list(_blocks(inner, _ARGUMENT, "</arg_value>", cut=False))
        if tags or inner == name:
            yield name, _typed(tags, schemas.get(name))


def _named(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    for head in _NAMED.finditer(text):
        for value in _values(text, head.end(), most=1):
            yield _name(head), value if isinstance(value, dict) else {}


def _listed(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    for head in _LISTED.finditer(text):
        for value in _values(text, head.end(), most=_MOST):
            yield from _calls(value)


def _llama(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    head = _LLAMA.search(text)
    if head is not None:
        yield from _python(f"{head[1]}({text[head.end() : text.rfind(')') + 1]}")


def _gemma(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    for name, inner in _blocks(text, _GEMMA, _GEMMA_END, cut=True):
        texts: list[str] = []

        def keep(match: re.Match[str], texts: list[str] = texts) -> str:
            texts.append(match[1] if match[1] is not None else match[2])
            return f'"\ue000{len(texts) - 1}"'

        plain = _GEMMA_KEY.sub(r'\1"\2":', _GEMMA_TEXT.sub(keep, "{" + inner))
        value = next(_values(plain, 0, most=1), None)
        yield name, _restored(value, texts) if isinstance(value, dict) else {}


def _restored(value: Any, texts: list[str]) -> Any:
    """JSON with the texts put back that were set aside while its keys were quoted."""
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return {key: _restored(item, texts) for key, item in known.items()}
    if isinstance(value, list):
        return [_restored(item, texts) for item in cast("list[Any]", value)]
    if isinstance(value, str) and value.startswith("\ue000") and value[1:].isdecimal():
        place = int(value[1:]) if len(value) < 8 else len(texts)
        return texts[place] if place < len(texts) else value
    return value


def _objects(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    tagged = [inner for _, inner in _blocks(text, _TAGGED, _TAGGED_END, cut=True)]
    for piece in tagged or [text.strip()]:
        value = _json(piece)
        if value is None:
            yield from _objects_in_a_row(piece)
        else:
            yield from _calls(value)


def _objects_in_a_row(piece: str) -> Iterator[tuple[str, Any]]:
    """Objects one after the other and nothing else, apart by white space, ``;`` or ``,``."""
    if piece.startswith("{") and piece.endswith("}"):
        values = list(_values(piece, 0, most=_MOST, whole=True))
        for value in values:
            yield from _calls(value)


def _pythonic(text: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    del schemas
    tagged = [inner for _, inner in _blocks(text, _TAGGED, _TAGGED_END, cut=True)]
    for piece in tagged or [text.strip()]:
        yield from _python(piece)


_FORMS: tuple[Callable[[str, Schemas], Iterator[tuple[str, Any]]], ...] = (
    _functions, _named, _listed, _gemma, _llama, _glm, _objects, _pythonic,
)  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------


def _calls(value: Any) -> Iterator[tuple[str, Any]]:
    """The calls in a JSON value: an object with ``name`` and ``arguments``, or a list of such."""
    for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        known = cast("dict[str, Any]", item)
        known = known.get("function") if isinstance(known.get("function"), dict) else known
        call = cast("dict[str, Any]", known)
        arguments = call.get("arguments", call.get("parameters", {}))
        if isinstance(arguments, str):
            arguments = _json(arguments)
        yield str(call.get("name", "")), {} if arguments is None else arguments


def _python(piece: str) -> Iterator[tuple[str, Any]]:
    try:
        with warnings.catch_warnings():
            # The parser warns of odd escapes in what the policy wrote; that is not for the log.
            warnings.simplefilter("ignore")
            body = ast.parse(piece, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in body.elts if isinstance(body, ast.List) else [body]:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            try:
                pairs = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg}
                json.dumps(pairs)
            except (ValueError, TypeError, RecursionError):
                continue
            yield node.func.id, pairs


def _blocks(
    text: str, opening: re.Pattern[str], closing: str, *, cut: bool
) -> Iterator[tuple[str, str]]:
    """What each opening captures, and the text from there to its closing, stripped.

    Found piece by piece, in time by the text's length. One expression for the whole, with a lazy gap
    between runs of white space, takes its square, and holds the interpreter (and with it the
    rollout's deadline) for all that time.

    Args:
        closing: an expression.
        cut: whether a block may end with the text instead of its closing.
    """
    closed_by = re.compile(closing)
    place = 0
    while (head := opening.search(text, place)) is not None:
        end = closed_by.search(text, head.end())
        if end is None:
            if cut:
                yield _name(head), text[head.end() :].strip()
            return
        yield _name(head), text[head.end() : end.start()].strip()
        place = end.end()


def _name(head: re.Match[str]) -> str:
    return next((group for group in head.groups() if group is not None), "")


def _values(text: str, place: int, *, most: int, whole: bool = False) -> Iterator[Any]:
    """The JSON values that stand at a place, one after the other.

    Args:
        whole: give none unless the text ends with the last.
    """
    found: list[Any] = []
    while len(found) < most:
        while place < len(text) and text[place] in " \t\r\n;,":
            place += 1
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        found.append(value)
    if not whole or place >= len(text):
        yield from found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _typed(tags: list[tuple[str, str]], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments from their texts, each by its type in the schema; without one, JSON where it is JSON."""
    properties: Any = (schema or {}).get("properties")
    known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
    made: dict[str, Any] = {}
    for key, value in tags:
        loose = None if _takes_text(known.get(key)) else _json(value)
        made[key.strip()] = value if loose is None else loose
    return made


def _takes_text(schema: Any) -> bool:
    """Whether a JSON schema allows a string."""
    if not isinstance(schema, Mapping):
        return False
    known = cast("Mapping[str, Any]", schema)
    kinds = known.get("type")
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return True
    options = [*(known.get("enum") or ()), known.get("const")]
    if any(isinstance(option, str) for option in options):
        return True
    return any(_takes_text(each) for name in ("anyOf", "oneOf") for each in known.get(name) or ())
