"""DynamoDB's expressions: conditions, key conditions, updates, projections.

An expression is parsed once and kept; names and values are put in when it is evaluated. Paths are
attributes of the top level: the stack uses no others, and ``a.b`` is refused rather than misread.
Source: DynamoDB developer guide, "Using expressions in DynamoDB".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from functools import lru_cache
from pathlib import Path
from typing import Any

from devkit.emulator.store.values import EXACT, Item, Value, invalid, item_of, written

_TOKEN = re.compile(r"\s*(?:([#:]?[A-Za-z_][\w-]*|[#:]\w+)|(<>|<=|>=|[=<>(),+.\[\]-]))")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_MOST_LETTERS = 4096
_SIZE, _OR_ELSE, _APPEND = "size", "if_not_exists", "list_append"


@lru_cache(maxsize=1)
def reserved_words() -> frozenset[str]:
    """Names that an expression may only use behind a ``#``; from the developer guide's page of them."""
    return frozenset((Path(__file__).parent / "reserved_words.txt").read_text().split())


class Given:
    """The names and values of one request; knows which of them no expression has used."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.names: dict[str, str] = request.get("ExpressionAttributeNames") or {}
        self.values: Item = item_of(request.get("ExpressionAttributeValues") or {})
        self._unused = {*self.names, *self.values}

    def uses(self, placeholders: Sequence[str]) -> None:
        """Note what an expression uses.

        Raises:
            Refused: a placeholder stands for nothing.
        """
        for placeholder in placeholders:
            known = self.names if placeholder[0] == "#" else self.values
            if placeholder not in known:
                what = "name" if placeholder[0] == "#" else "value"
                raise invalid(
                    f"An expression attribute {what} used in the document path is not defined; "
                    f"attribute {what}: {placeholder}"
                )
            self._unused.discard(placeholder)

    def all_used(self) -> None:
        """Refuse a request whose expressions leave a name or value unused."""
        if self._unused:
            keys = ", ".join(sorted(self._unused))
            raise invalid(f"Value provided in the request unused in expressions: keys: {{{keys}}}")

    def name(self, path: str) -> str:
        """The attribute a path names."""
        return self.names[path] if path[0] == "#" else path


Test = Callable[[Item, Given], bool]
Operand = Callable[[Item, Given], Value | None]


@dataclass(frozen=True, slots=True)
class Node:
    """A parsed condition: how it is tested, and how it reads, for whoever takes it apart.

    Args:
        kind: the operator or function; ``path`` and ``value`` for operands.
        parts: operands, nodes, or the text of a path or value.
    """

    kind: str
    parts: tuple[Any, ...]

    def holds(self, item: Item, given: Given) -> bool:
        """Whether an item meets the condition."""
        kind, parts = self.kind, self.parts
        if kind == "AND":
            return all(part.holds(item, given) for part in parts)
        if kind == "OR":
            return any(part.holds(item, given) for part in parts)
        if kind == "NOT":
            return not parts[0].holds(item, given)
        if kind in ("attribute_exists", "attribute_not_exists"):
            return (given.name(parts[0].parts[0]) in item) == (kind == "attribute_exists")
        values = [part.read(item, given) for part in parts]
        if any(value is None for value in values):
            return kind == "<>"  # what is not there differs from everything
        return _test(kind, values)

    def read(self, item: Item, given: Given) -> Value | None:
        """The value of an operand; None where the item has none."""
        if self.kind == "value":
            return given.values[self.parts[0]]
        if self.kind == "path":
            return item.get(given.name(self.parts[0]))
        value = self.parts[0].read(item, given)  # size
        return None if value is None else _length(value)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression and the placeholders it uses."""

    root: Any
    placeholders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One clause of an update: ``verb`` is SET, REMOVE, ADD or DELETE; ``value`` what is assigned."""

    verb: str
    path: str
    value: Any = None


@lru_cache(maxsize=512)
def condition(text: str) -> Expression:
    """Parse a condition, key condition or filter."""
    parser = _Parser(text)
    root = parser.any_of()
    return parser.done(root)


@lru_cache(maxsize=512)
def update(text: str) -> Expression:
    """Parse an update expression into its changes."""
    parser = _Parser(text)
    changes: list[Change] = []
    seen: set[str] = set()
    while parser.peek() is not None:
        verb = (parser.take() or "").upper()
        if verb not in ("SET", "REMOVE", "ADD", "DELETE"):
            raise parser.wrong()
        if verb in seen:
            raise invalid(f'The "{verb}" section can only be used once in an update expression')
        seen.add(verb)
        while True:
            changes.append(parser.change(verb))
            if not parser.accept(","):
                break
    if not changes:
        raise invalid("Invalid UpdateExpression: The expression can not be empty;")
    return parser.done(tuple(changes))


@lru_cache(maxsize=128)
def projection(text: str) -> Expression:
    """Parse a projection into paths."""
    parser = _Parser(text)
    paths = [parser.path()]
    while parser.accept(","):
        paths.append(parser.path())
    return parser.done(tuple(paths))


def apply(changes: Sequence[Change], old: Item, given: Given) -> tuple[Item, set[str]]:
    """An item as an update leaves it, and the names it touches; every operand is read from ``old``.

    Raises:
        Refused: an operand is missing or of a wrong type, or two changes touch one attribute.
    """
    new = dict(old)
    touched: set[str] = set()
    for change in changes:
        name = given.name(change.path)
        if name in touched:
            raise invalid(
                "Invalid UpdateExpression: Two document paths overlap with each other; must remove or "
                f"rewrite one of these paths; path one: [{name}], path two: [{name}]"
            )
        touched.add(name)
        if change.verb == "REMOVE":
            new.pop(name, None)
        elif change.verb == "SET":
            new[name] = change.value(old, given)
        elif change.verb == "ADD":
            new[name] = _added(old.get(name), given.values[change.value])
        elif name in old:
            left = _without(old[name], given.values[change.value])
            if left is None:
                del new[name]
            else:
                new[name] = left
    return new, touched


# --- reading ------------------------------------------------------------------------------------------


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > _MOST_LETTERS:
            raise invalid("Expression size has exceeded the maximum allowed size")
        self._tokens: list[str] = []
        self._place = 0
        self._used: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise invalid(f"Invalid expression: Syntax error; token: {text[at : at + 10]!r}")
            self._tokens.append(match[1] or match[2])
            at = match.end()

    def peek(self) -> str | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def take(self) -> str | None:
        token = self.peek()
        self._place += 1
        return token

    def accept(self, wanted: str) -> bool:
        token = self.peek()
        found = token is not None and token.upper() == wanted
        self._place += found
        return found

    def expect(self, wanted: str) -> None:
        if not self.accept(wanted):
            raise self.wrong()

    def wrong(self) -> Exception:
        near = " ".join(self._tokens[max(0, self._place - 2) : self._place + 2])
        return invalid(f"Invalid expression: Syntax error; near: {near!r}")

    def done(self, root: Any) -> Expression:
        if self.peek() is not None:
            raise self.wrong()
        return Expression(root, tuple(self._used))

    def path(self) -> str:
        token = self.take()
        if token is None or not (token[0] in "#_" or token[0].isalpha()):
            self._place -= 1
            raise self.wrong()
        if token[0] == "#":
            self._used.append(token)
        elif token.upper() in reserved_words():
            raise invalid(f"Attribute name is a reserved keyword; reserved keyword: {token}")
        if self.peek() in (".", "["):
            raise invalid("The local store knows attributes of the top level only, no nested paths")
        return token

    def value(self) -> str:
        token = self.take()
        if token is None or token[0] != ":":
            self._place -= 1
            raise self.wrong()
        self._used.append(token)
        return token

    def operand(self) -> Node:
        token = self.peek()
        if token is not None and token[0] == ":":
            return Node("value", (self.value(),))
        if token == _SIZE and self._tokens[self._place + 1 : self._place + 2] == ["("]:
            self.take()
            self.expect("(")
            inner = Node("path", (self.path(),))
            self.expect(")")
            return Node("size", (inner,))
        return Node("path", (self.path(),))

    def any_of(self) -> Node:
        parts = [self.all_of()]
        while self.accept("OR"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else Node("OR", tuple(parts))

    def all_of(self) -> Node:
        parts = [self.one()]
        while self.accept("AND"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Node("AND", tuple(parts))

    def one(self) -> Node:
        if self.accept("NOT"):
            return Node("NOT", (self.one(),))
        if self.accept("("):
            inner = self.any_of()
            self.expect(")")
            return inner
        token = self.peek()
        follows = self._tokens[self._place + 1 : self._place + 2] == ["("]
        if token in _FUNCTIONS and follows:
            return self._function()
        left = self.operand()
        if self.accept("BETWEEN"):
            low = self.operand()
            self.expect("AND")
            return Node("BETWEEN", (left, low, self.operand()))
        if self.accept("IN"):
            self.expect("(")
            choices = [self.operand()]
            while self.accept(","):
                choices.append(self.operand())
            self.expect(")")
            return Node("IN", (left, *choices))
        comparator = self.take()
        if comparator not in (*_COMPARE, "=", "<>"):
            self._place -= 1
            raise self.wrong()
        return Node(comparator, (left, self.operand()))

    def _function(self) -> Node:
        name = str(self.take())
        self.expect("(")
        operands = [Node("path", (self.path(),))]
        while self.accept(","):
            operands.append(self.operand())
        self.expect(")")
        if len(operands) != _FUNCTIONS[name]:
            raise invalid(f"Incorrect number of operands for operator or function: {name}")
        return Node(name, tuple(operands))

    def change(self, verb: str) -> Change:
        path = self.path()
        if verb == "REMOVE":
            return Change(verb, path)
        if verb in ("ADD", "DELETE"):
            return Change(verb, path, self.value())
        self.expect("=")
        first = self._assigned()
        if self.accept("+"):
            return Change(verb, path, _sum(first, self._assigned(), 1))
        if self.accept("-"):
            return Change(verb, path, _sum(first, self._assigned(), -1))
        return Change(verb, path, first)

    def _assigned(self) -> Callable[[Item, Given], Value]:
        token = self.peek()
        if token == _OR_ELSE:
            self.take()
            self.expect("(")
            path = self.path()
            self.expect(",")
            otherwise = self._assigned()
            self.expect(")")
            return lambda item, given: item.get(given.name(path)) or otherwise(item, given)
        if token == _APPEND:
            self.take()
            self.expect("(")
            front = self._assigned()
            self.expect(",")
            back = self._assigned()
            self.expect(")")
            return lambda item, given: _joined(front(item, given), back(item, given))
        node = self.operand()

        def read(item: Item, given: Given) -> Value:
            value = node.read(item, given)
            if value is None:
                raise invalid(
                    "The provided expression refers to an attribute that does not exist in the item"
                )
            return value

        return read


_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}


# --- evaluating ---------------------------------------------------------------------------------------


def _test(kind: str, values: list[Any]) -> bool:
    left, right = values[0], values[1]
    if kind in _COMPARE:
        return _ordered(kind, left, right)
    if kind == "BETWEEN":
        return _ordered(">=", left, right) and _ordered("<=", left, values[2])
    if kind == "IN":
        return any(_same(left, choice) for choice in values[1:])
    return _TESTS[kind](left, right)


def _begins(left: Value, right: Value) -> bool:
    ((a, held),) = left.items()
    ((b, wanted),) = right.items()
    if b not in ("S", "B"):
        raise invalid("Incorrect operand type for operator or function: begins_with")
    return a == b and held.startswith(wanted)


def _contains(left: Value, right: Value) -> bool:
    """A text in a text, or a member of a set or list."""
    ((a, held),) = left.items()
    ((b, wanted),) = right.items()
    if a == "S":
        return b == "S" and wanted in held
    if a == "L":
        return any(_same(one, right) for one in held)
    return a == f"{b}S" and wanted in held


def _same(left: Value, right: Value) -> bool:
    ((a, held),) = left.items()
    ((b, other),) = right.items()
    if a != b:
        return False
    if a in ("SS", "NS", "BS"):
        return set(held) == set(other)
    return held == other


_TESTS: dict[str, Callable[[Value, Value], bool]] = {
    "=": _same,
    "<>": lambda left, right: not _same(left, right),
    "attribute_type": lambda left, right: right.get("S") in left,
    "begins_with": _begins,
    "contains": _contains,
}


def _ordered(operator: str, left: Value, right: Value) -> bool:
    ((a, held),) = left.items()
    ((b, other),) = right.items()
    if a != b:
        return False
    if a == "N":
        return _COMPARE[operator](Decimal(held), Decimal(other))
    return a in ("S", "B") and _COMPARE[operator](held, other)


def _length(value: Value) -> Value | None:
    ((kind, held),) = value.items()
    if kind == "S":
        return {"N": str(len(held.encode()))}
    return {"N": str(len(held))} if kind in ("SS", "NS", "BS", "L", "M") else None


def _mismatch() -> Exception:
    return invalid("An operand in the update expression has an incorrect data type")


def _plus(left: Value, right: Value, sign: int) -> Value:
    if "N" not in left or "N" not in right:
        raise _mismatch()
    try:
        operation = EXACT.add if sign > 0 else EXACT.subtract
        total = operation(Decimal(left["N"]), Decimal(right["N"]))
    except DecimalException:
        raise invalid(
            "Number overflow. Attempting to store a number with too many digits"
        ) from None
    return {"N": written(total)}


def _sum(
    left: Callable[[Item, Given], Value], right: Callable[[Item, Given], Value], sign: int
) -> Callable[[Item, Given], Value]:
    return lambda item, given: _plus(left(item, given), right(item, given), sign)


def _joined(front: Value, back: Value) -> Value:
    if "L" not in front or "L" not in back:
        raise _mismatch()
    return {"L": [*front["L"], *back["L"]]}


def _added(old: Value | None, more: Value) -> Value:
    ((kind, held),) = more.items()
    if kind not in ("N", "SS", "NS", "BS"):
        raise invalid(
            f"Incorrect operand type for operator or function; operator: ADD, type: {kind}"
        )
    if old is None:
        return more
    if kind not in old:
        raise _mismatch()
    if kind == "N":
        return _plus(old, more, 1)
    return {kind: list(dict.fromkeys([*old[kind], *held]))}


def _without(old: Value, less: Value) -> Value | None:
    """A set without some members; None where nothing is left."""
    ((kind, held),) = less.items()
    if kind not in ("SS", "NS", "BS"):
        raise invalid(
            f"Incorrect operand type for operator or function; operator: DELETE, type: {kind}"
        )
    if kind not in old:
        raise _mismatch()
    left = [one for one in old[kind] if one not in held]
    return {kind: left} if left else None
