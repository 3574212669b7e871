"""DynamoDB as far as the library uses it: rows, conditions, updates, indexes that are a moment behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, dict[str, Any]]
Holds = Callable[[Item | None, dict[str, str], Item], bool]

_TOKEN = re.compile(r"[#:]?[A-Za-z_][A-Za-z0-9_]*|#\w+|:\w+|<>|<=|>=|[=<>(),+-]")
_SORT = {"by_job": "accepted_at", "by_group": "accepted_at", "open": "due_at", "": "sk"}


class Table:
    """The rows of one table.

    Args:
        now: the clock.
        behind: seconds that an index may be behind, for a row.
    """

    def __init__(self, now: Callable[[], float], behind: Callable[[], float]) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self._before: dict[tuple[str, str], tuple[float, Item | None]] = {}
        self._now, self._behind = now, behind

    def get_item(self, Key: Item, **_: Any) -> dict[str, Any]:
        item = self.items.get(_key(Key))
        return {} if item is None else {"Item": item}

    def put_item(self, Item: Item, **request: Any) -> dict[str, Any]:
        key = _key(Item)
        self._check(self.items.get(key), request)
        self._keep(key)
        self.items[key] = Item
        return {}

    def update_item(self, Key: Item, UpdateExpression: str, **request: Any) -> dict[str, Any]:
        key = _key(Key)
        known = self.items.get(key)
        self._check(known, request)
        names = request.get("ExpressionAttributeNames", {})
        values = request.get("ExpressionAttributeValues", {})
        item = dict(known if known is not None else Key)
        for change in _update(UpdateExpression):
            change(known or {}, item, names, values)
        self._keep(key)
        self.items[key] = item
        return {"Attributes": item} if request.get("ReturnValues") == "ALL_NEW" else {}

    def delete_item(self, Key: Item, **request: Any) -> dict[str, Any]:
        key = _key(Key)
        self._check(self.items.get(key), request)
        self._keep(key)
        self.items.pop(key, None)
        return {}

    def query(self, KeyConditionExpression: str, **request: Any) -> dict[str, Any]:
        index = request.get("IndexName", "")
        holds = _condition(KeyConditionExpression)
        if not self.items:
            return {"Count": 0, "Items": []}
        names = request.get("ExpressionAttributeNames", {})
        values = request["ExpressionAttributeValues"]
        found: list[Item] = []
        keys = dict.fromkeys([*self.items, *self._before]) if index else self.items
        for key in keys:
            item = self.items.get(key)
            if index and key in self._before:
                since, before = self._before[key]
                if self._now() - since < self._behind():
                    item = before
            if item is not None and holds(item, names, values):
                found.append(item)
        found.sort(
            key=lambda item: item[_SORT[index]]["S"],
            reverse=not request.get("ScanIndexForward", True),
        )
        if request.get("Select") == "COUNT":
            return {"Count": len(found)}
        return {"Items": found[: request.get("Limit", 1000)]}

    def _check(self, item: Item | None, request: dict[str, Any]) -> None:
        expression = request.get("ConditionExpression")
        if expression is None:
            return
        names = request.get("ExpressionAttributeNames", {})
        if _condition(expression)(item, names, request.get("ExpressionAttributeValues", {})):
            return
        answer: dict[str, Any] = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {}},
        }
        if item is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            answer["Item"] = item
        raise ClientError(answer, "PutItem")

    def _keep(self, key: tuple[str, str]) -> None:
        self._before[key] = (self._now(), self.items.get(key))


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def plain(item: Item) -> dict[str, Any]:
    """A row as plain values."""
    return {
        name: float(next(iter(value.values()))) if "N" in value else next(iter(value.values()))
        for name, value in item.items()
    }


def _compare(one: dict[str, Any] | None, other: dict[str, Any] | None) -> int | None:
    if one is None or other is None:
        return None
    (kind, left), *_ = one.items()
    (other_kind, right), *_ = other.items()
    if kind != other_kind:
        return None
    if kind == "N":
        left, right = float(left), float(right)
    return (left > right) - (left < right)


def _equal(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    return one == other or _compare(one, other) == 0


_WANTED: dict[str, Callable[[int | None], bool]] = {
    "=": lambda order: order == 0,
    "<>": lambda order: order != 0,
    "<": lambda order: order is not None and order < 0,
    "<=": lambda order: order is not None and order <= 0,
    ">": lambda order: order is not None and order > 0,
    ">=": lambda order: order is not None and order >= 0,
}


@lru_cache(maxsize=512)
def _condition(expression: str) -> Holds:
    """A condition as a function of a row, names and values."""
    reader = _Reader(_TOKEN.findall(expression))
    holds = reader.either()
    assert not reader.left, expression
    return holds


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens

    def take(self, wanted: str = "") -> str:
        token = self.left.pop(0)
        assert not wanted or token.upper() == wanted, (token, wanted)
        return token

    def next(self) -> str:
        return self.left[0].upper() if self.left else ""

    def either(self) -> Holds:
        parts = [self.both()]
        while self.next() == "OR":
            self.take()
            parts.append(self.both())
        if len(parts) == 1:
            return parts[0]
        return lambda item, names, values: any(part(item, names, values) for part in parts)

    def both(self) -> Holds:
        parts = [self.one()]
        while self.next() == "AND":
            self.take()
            parts.append(self.one())
        if len(parts) == 1:
            return parts[0]
        if len(parts) == 2:
            one, other = parts
            return lambda item, names, values: (
                one(item, names, values) and other(item, names, values)
            )
        return lambda item, names, values: all(part(item, names, values) for part in parts)

    def one(self) -> Holds:
        token = self.take()
        if token == "(":
            inner = self.either()
            self.take(")")
            return inner
        if token.upper() == "NOT":
            inner = self.one()
            return lambda item, names, values: not inner(item, names, values)
        if token in ("attribute_not_exists", "attribute_exists"):
            self.take("(")
            path = self.take()
            self.take(")")
            wanted = token == "attribute_exists"
            return lambda item, names, _: (
                ((item or {}).get(names.get(path, path)) is not None) == wanted
            )
        sign = self.take()
        if sign.upper() == "BETWEEN":
            low = self.take()
            self.take("AND")
            high = self.take()
            return lambda item, names, values: (
                _WANTED[">="](_compare((item or {}).get(names.get(token, token)), values[low]))
                and _WANTED["<="](_compare((item or {}).get(names.get(token, token)), values[high]))
            )
        other = self.take()
        if sign == "=":
            return lambda item, names, values: _equal(
                (item or {}).get(names.get(token, token)), values[other]
            )
        right = _WANTED[sign]
        return lambda item, names, values: right(
            _compare((item or {}).get(names.get(token, token)), values[other])
        )


Change = Callable[[Item, Item, dict[str, str], Item], None]


@lru_cache(maxsize=512)
def _update(expression: str) -> tuple[Change, ...]:
    """An update expression as functions that change a row."""
    reader = _Reader(_TOKEN.findall(expression))
    changes: list[Change] = []
    clause = ""
    while reader.left:
        if reader.next() in ("SET", "REMOVE", "ADD"):
            clause = reader.take().upper()
        elif reader.next() == ",":
            reader.take()
        path = reader.take()
        if clause == "REMOVE":
            changes.append(
                lambda _, item, names, __, path=path: _remove(item, names.get(path, path))
            )
        elif clause == "ADD":
            value = reader.take()
            changes.append(
                lambda known, item, names, values, path=path, value=value: _add(
                    known, item, names.get(path, path), values[value]
                )
            )
        else:
            reader.take("=")
            changes.append(_assignment(reader, path))
    return tuple(changes)


def _assignment(reader: _Reader, path: str) -> Change:
    value = reader.take()
    if value == "if_not_exists":
        reader.take("(")
        other = reader.take()
        reader.take(",")
        value = reader.take()
        reader.take(")")

        def default(known: Item, item: Item, names: dict[str, str], values: Item) -> None:
            item[names.get(path, path)] = known.get(names.get(other, other), values[value])

        return default

    def assign(known: Item, item: Item, names: dict[str, str], values: Item) -> None:
        del known
        item[names.get(path, path)] = values[value]

    return assign


def _remove(item: Item, name: str) -> None:
    item.pop(name, None)


def _add(known: Item, item: Item, name: str, value: dict[str, Any]) -> None:
    before = known.get(name, {"N": "0"})["N"]
    item[name] = {"N": str(int(float(before)) + int(float(value["N"])))}
