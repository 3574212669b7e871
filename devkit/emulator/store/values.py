"""DynamoDB's attribute values: what is one, how numbers are written, how large an item is.

Source: DynamoDB developer guide, "Supported data types and naming rules" and "Item sizes and formats".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import (
    Context,
    Decimal,
    DecimalException,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
)
from typing import Any, cast

Value = dict[str, Any]
Item = dict[str, Value]

_KINDS: dict[str, type] = {
    "S": str, "B": str, "BOOL": bool, "NULL": bool, "M": dict, "L": list, "SS": list, "NS": list,
    "BS": list,
}  # fmt: skip

MOST_BYTES = 400 * 1024
_DIGITS = 38
# Exact: what 38 digits cannot hold is refused, never rounded.
EXACT = Context(
    prec=_DIGITS, Emax=125, Emin=-130, traps=[Inexact, InvalidOperation, Overflow, Subnormal]
)
_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,37}")


@dataclass(frozen=True)
class Refused(Exception):
    """A request the service answers with an error.

    Args:
        code: the error's shape.
        item: the row in place, where a failed condition was asked for it.
    """

    code: str
    message: str
    status: int = 400
    item: Item | None = field(default=None)


def invalid(message: str) -> Refused:
    """A ValidationException."""
    return Refused("ValidationException", message)


def number(text: Any) -> str:
    """A number as DynamoDB gives it back: plain digits, no zeros that say nothing.

    Raises:
        Refused: no number, more than 38 digits, or out of range.
    """
    if not isinstance(text, str):
        raise Refused("SerializationException", "NUMBER_VALUE cannot be converted to String")
    if _PLAIN.fullmatch(text):
        return text
    try:
        exact = EXACT.create_decimal(text.strip())
    except InvalidOperation:
        raise invalid(
            f"The parameter cannot be converted to a numeric value: {text[:40]}"
        ) from None
    except DecimalException as error:
        what = "Attempting to store more than 38 significant digits in a Number"
        if isinstance(error, (Overflow, Subnormal)):
            what = "Number overflow or underflow"
        raise invalid(what) from None
    if not exact.is_finite():
        raise invalid(f"The parameter cannot be converted to a numeric value: {text[:40]}")
    return written(exact)


def written(exact: Decimal) -> str:
    """A decimal as :func:`number` writes it."""
    return format(EXACT.normalize(exact), "f") if exact else "0"


def value_of(given: Any) -> Value:
    """A value from the wire, checked, with its numbers in their one way of writing.

    Raises:
        Refused: it is none.
    """
    if not isinstance(given, dict) or len(cast("Value", given)) != 1:
        raise invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        )
    value = cast("Value", given)
    ((kind, held),) = value.items()
    if kind == "N":
        return {"N": number(held)}
    wanted = _KINDS.get(kind)
    if wanted is None or not isinstance(held, wanted):
        raise Refused("SerializationException", f"{kind} cannot be read")
    if kind == "M":
        return {"M": {name: value_of(one) for name, one in held.items()}}
    if kind == "L":
        return {"L": [value_of(one) for one in held]}
    if kind in ("SS", "NS", "BS"):
        members = [number(one) if kind == "NS" else one for one in held]
        if not members or len(set(members)) != len(members):
            raise invalid("An set may not be empty, and may not contain duplicates")
        return {kind: members}
    return value


def item_of(given: Any) -> Item:
    """An item from the wire; see :func:`value_of`."""
    if not isinstance(given, dict):
        raise Refused("SerializationException", "An item must be an object")
    return {str(name): value_of(value) for name, value in cast("dict[str, Any]", given).items()}


def size_of(item: Mapping[str, Value]) -> int:
    """Bytes an item counts as: its names and its values."""
    return sum(_text(name) + _size(value) for name, value in item.items())


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _size(value: Value) -> int:
    ((kind, held),) = value.items()
    if kind == "S":
        size = _text(held)
    elif kind == "N":
        size = _number(held)
    elif kind == "B":
        size = len(base64.b64decode(held))
    elif kind == "L":
        size = 3 + sum(1 + _size(one) for one in held)
    elif kind == "M":
        size = 3 + sum(1 + _text(name) + _size(one) for name, one in held.items())
    elif kind in ("SS", "NS", "BS"):
        size = sum(_size({kind[0]: one}) for one in held)
    else:
        size = 1  # BOOL and NULL
    return size


def _number(text: str) -> int:
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")
