"""The border that every value crosses from an author's code into the rollout.

Tool results, metrics, rewards, step values and outputs come from code that returns what its libraries
return. One function makes JSON of it, the same inline and durable, or says what cannot be and where:

=====================================  ============================================================
``None``, ``bool``, ``int``, ``str``   themselves; subclasses as the plain type
``float``                              itself; NaN and infinities are refused
``Decimal``                            an int where it is whole, else the nearest float
NumPy scalars and arrays, tensors      what their ``item()`` or ``tolist()`` gives; dates as ISO 8601
``datetime``, ``date``, ``time``       ISO 8601 text; ``timedelta`` as seconds
``UUID``, paths, IP addresses          their text
``Enum``                               its value
``bytes``                              UTF-8 text; anything else is refused
mappings                               objects; keys as text, two that become the same are refused
lists, tuples, deques, ranges, views   arrays
sets                                   arrays in a fixed order, so that a replay sees the same
pydantic models                        ``model_dump(mode="json")``
dataclasses, attrs classes             objects of their fields
=====================================  ============================================================

Refused, with the place it stands at: everything else, half a surrogate pair, what contains itself, more
than 100 levels.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast

# Fewer than rollout.contract reads, and few enough for Python's own stack.
_DEEPEST = 100
# Characters of a place that an error names.
_LONGEST_PLACE = 100
# Python turns no longer integer into text.
_MOST_DIGITS = 4_300
_LARGEST = 10**_MOST_DIGITS
_LISTS = (list, tuple, KeysView, ValuesView, ItemsView)
# Written as their text; told by name, so that nothing is imported for them.
_TEXTS = ("uuid.", "pathlib.", "ipaddress.", "pathlib._local.")


class NotJson(ValueError):
    """A value that cannot be written as JSON.

    Args:
        where: the place in the value, as in ``$.items[3]``.
        why: what stands there; types, never content.
    """

    def __init__(self, where: str, why: str) -> None:
        if len(where) > _LONGEST_PLACE:
            where = f"{where[:_LONGEST_PLACE]}…"
        super().__init__(f"at {where}: {why}" if where != "$" else why)
        self.where = where
        self.why = why


def jsonable(value: Any) -> Any:
    """A value as the JSON it stands for: only dict, list, str, int, float, bool and None.

    Raises:
        NotJson: naming the place and the type.
    """
    try:
        return _Walk().of(value, "$")
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("$", "too many levels") from None
    except Exception as error:  # what the author's classes do when they are read
        raise NotJson("$", f"reading it raises {type(error).__name__}") from error


def json_text(value: Any) -> str:
    """As :func:`jsonable`, written out.

    Raises:
        NotJson: naming the place and the type.
    """
    return json.dumps(jsonable(value), ensure_ascii=False)


def number(value: Any) -> float:
    """A finite float, for rewards and metrics.

    Args:
        value: an int, float, Decimal, Fraction, or what NumPy and tensor libraries have for one number.

    Raises:
        NotJson: a bool, text, NaN, an infinity, or something else.
    """
    found = _plain_number(value)
    if isinstance(found, bool) or not isinstance(found, (numbers.Real, Decimal)):
        raise NotJson("$", f"of type {type(value).__name__}; return a finite float")
    try:
        result = float(found)
    except OverflowError:
        result = math.inf
    except Exception as error:  # a class of the author's decides what __float__ does
        raise NotJson("$", f"of type {type(value).__name__}, and float() of it raises") from error
    if not math.isfinite(result):
        raise NotJson("$", f"that is {result}; it must be finite")
    return result


def _plain_number(value: Any) -> Any:
    """One number of NumPy, PyTorch or JAX as Python's; anything else as it is."""
    if isinstance(value, numbers.Real) or not callable(getattr(value, "item", None)):
        return value
    try:
        return value.item()
    except Exception:  # noqa: BLE001 - an array of several numbers, or no array at all
        return value


class _Walk:
    """One value on its way, with what is open above the present place."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def of(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.of(value.value, where)
        if isinstance(value, str):
            return _text(str(value), where)
        if isinstance(value, int):
            return _whole(int(value), where)
        if isinstance(value, float):
            return _finite(float(value), where)
        if id(value) in self._open:
            raise NotJson(where, "the value contains itself")
        if len(self._open) >= _DEEPEST:
            raise NotJson(where, f"more than {_DEEPEST} levels")
        self._open.add(id(value))
        try:
            return self._other(value, where)
        finally:
            self._open.discard(id(value))

    def _other(self, value: Any, where: str) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[Any, Any]", value), where)
        if isinstance(value, _LISTS):
            return self._list(cast("Iterable[Any]", value), where)
        if isinstance(value, AbstractSet):
            items = self._list(cast("Iterable[Any]", value), where)
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        plain = _plain(value, where)
        if plain is not value:
            return self.of(plain, where)
        if isinstance(value, Sequence):  # after bytes, which are one
            return self._list(cast("Iterable[Any]", value), where)
        raise NotJson(where, _unknown(value))

    def _list(self, value: Iterable[Any], where: str) -> list[Any]:
        return [self.of(item, f"{where}[{place}]") for place, item in enumerate(value)]

    def _mapping(self, value: Mapping[Any, Any], where: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key, where)
            if name in made:
                raise NotJson(where, "two keys that are the same as text")
            made[name] = self.of(item, f"{where}.{name[:40]}")
        return made

    def _key(self, key: Any, where: str) -> str:
        plain = self.of(key, f"a key of {where}")
        if isinstance(plain, (list, dict)):
            raise NotJson(where, f"a key of type {type(key).__name__}; keys are text in JSON")
        return plain if isinstance(plain, str) else json.dumps(plain)


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotJson(where, "text with half a surrogate pair") from None
    return value


def _whole(value: int, where: str) -> int:
    if not -_LARGEST < value < _LARGEST:
        raise NotJson(where, "an integer of more than 4,300 digits")
    return value


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise NotJson(where, f"the number {value}, which JSON does not have")
    return value


def _plain(value: Any, where: str) -> Any:
    """One step towards JSON; the value itself where there is none."""
    for types, convert in _BY_TYPE:
        if isinstance(value, types):
            return convert(value, where)
    kind = cast("Any", type(value))
    if f"{kind.__module__}.".startswith(_TEXTS):
        return str(value)
    if hasattr(kind, "model_dump") and hasattr(kind, "model_fields"):
        return _model(value, where)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    return _array(value, kind, where)


def _moment(value: Any, where: str) -> str:
    if value != value:  # noqa: PLR0124 - pandas' NaT is a datetime and equals nothing
        raise NotJson(where, "a date that is not one (NaT)")
    return value.isoformat()


def _decimal(value: Decimal, where: str) -> float:
    if not value.is_finite():
        raise NotJson(where, f"the number {value}, which JSON does not have")
    if value.adjusted() > _MOST_DIGITS:
        raise NotJson(where, "a number of more than 4,300 digits")
    return int(value) if value == value.to_integral_value() else float(value)


def _bytes(value: Any, where: str) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise NotJson(where, "bytes that are no UTF-8 text; return base64 of them") from None


_BY_TYPE: tuple[tuple[tuple[type, ...], Callable[[Any, str], Any]], ...] = (
    ((datetime, date, time), _moment),
    ((timedelta,), lambda value, _: value.total_seconds()),
    ((Decimal,), _decimal),
    ((bytes, bytearray, memoryview), _bytes),
)


def _model(value: Any, where: str) -> Any:
    try:
        return value.model_dump(mode="json", warnings="none")
    except Exception as error:
        name, raised = type(value).__name__, type(error).__name__
        raise NotJson(where, f"the model {name} cannot be dumped ({raised})") from error


def _array(value: Any, kind: Any, where: str) -> Any:
    """What array and tensor libraries have, by what they offer: none of them is imported here."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
        dates = [str(item) for item in value] if getattr(value, "shape", ()) else str(value)
        if "NaT" in dates:
            raise NotJson(where, "a date that is not one (NaT)")
        return dates
    for name in ("tolist", "item"):
        method = getattr(kind, name, None)
        if callable(method) and hasattr(kind, "dtype"):
            found = cast("Any", method(value))
            if type(found) is kind:  # a long double is its own item
                return float(found) if isinstance(found, numbers.Real) else value
            return found
    return value


def _unknown(value: Any) -> str:
    name = type(value).__name__
    if hasattr(value, "__await__"):
        return f"a {name} that nobody has awaited"
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return f"a {name}, which can be read once only; return a list"
    return f"a {name}, which has no form in JSON; return a dict, a list, text or a number"
