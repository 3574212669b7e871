"""Whether two results of queries say the same.

They hold the same rows, as often: integers exactly, however large; reals to nine significant digits, for
sums differ by the order of their terms; 3.0 is 3. Where the right query orders its rows at its top level,
the rows must stand in its order, but those that tie in its sort keys may stand in any.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import defaultdict
from typing import Any

Row = tuple[Any, ...]

_DIGITS = 1e-9
# Beyond this a real no longer tells neighbouring integers apart.
_EXACT = 2**53
_WORD = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|[()]|,"
    r"|\b(?:select|from|order\s+by|limit|union|intersect|except|with|distinct|group)\b",
    re.IGNORECASE,
)
_DIRECTION = re.compile(
    r"\s+(?:collate\s+\w+\s*)?(?:(?:asc|desc)\b\s*)?(?:nulls\s+(?:first|last)\s*)?$", re.IGNORECASE
)


def same(given: list[Row], expected: list[Row], sizes: list[int] | None) -> bool:
    """Whether two results say the same.

    Args:
        sizes: how many rows tie, block after block of the expected ones; None where any order will do.
    """
    if len(given) != len(expected):
        return False
    place = 0
    for size in [len(expected)] if sizes is None else sizes:
        if not _same_rows(given[place : place + size], expected[place : place + size]):
            return False
        place += size
    return True


def blocks(database: sqlite3.Connection, query: str, rows: list[Row]) -> list[int] | None:
    """Sizes of the blocks of rows that tie under a query's ORDER BY; None where it has none."""
    terms, head, tail = _order_of(query)
    if not terms:
        return None
    keys = _keys(database, terms, head, tail, rows)
    if keys is None:  # it cannot be told what ties: each row has its place
        return [1] * len(rows)
    sizes: list[int] = []
    for place, key in enumerate(keys):
        if place and key == keys[place - 1]:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def _same_rows(left: list[Row], right: list[Row]) -> bool:
    """The same rows as often, in any order."""
    one, other = _by_exact(left), _by_exact(right)
    if one.keys() != other.keys():
        return False
    return all(
        len(one[exact]) == len(other[exact])
        and all(
            all(math.isclose(a, b, rel_tol=_DIGITS) for a, b in zip(x, y, strict=True))
            for x, y in zip(sorted(one[exact]), sorted(other[exact]), strict=True)
        )
        for exact in one
    )


def _by_exact(rows: list[Row]) -> dict[Row, list[tuple[float, ...]]]:
    """The reals of each row, by what is exact in it."""
    found: dict[Row, list[tuple[float, ...]]] = defaultdict(list)
    for row in rows:
        cells = [_cell(value) for value in row]
        exact: Row = tuple(
            ("real", None) if isinstance(c, float) else (type(c).__name__, c) for c in cells
        )
        found[exact].append(tuple(c for c in cells if isinstance(c, float)))
    return found


def _cell(value: Any) -> Any:
    """A value; a real that is an integer but for rounding is that integer."""
    if isinstance(value, float) and math.isfinite(value) and abs(value) < _EXACT:
        whole = round(value)
        if math.isclose(value, whole, rel_tol=1e-12):
            return whole
    return value


def _order_of(query: str) -> tuple[list[str], str, str]:
    """Terms of a query's own ORDER BY, and the query up to its FROM and from there to its end.

    Nothing is read out of parentheses, texts and comments; without terms there is no order.
    """
    depth, source, order, limit, compound = 0, -1, -1, len(query), False
    commas: list[int] = []
    for match in _WORD.finditer(query):
        word = re.sub(r"\s+", " ", match[0].lower())
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth:
            continue
        if word == "from" and source < 0:
            source = match.start()
        elif word == "order by":
            order, commas = match.end(), []
        elif word == "limit" and order >= 0:
            limit = match.start()
        elif word in ("union", "intersect", "except", "distinct", "with"):
            compound = True
        elif word == "," and order >= 0 and match.start() < limit:
            commas.append(match.start())
    if order < 0:
        return [], "", ""
    cuts = [order, *(comma + 1 for comma in commas)]
    ends = [*commas, limit]
    terms = [query[a:b].strip().rstrip(";").strip() for a, b in zip(cuts, ends, strict=True)]
    terms = [_DIRECTION.sub("", f"{term} ").strip() for term in terms]
    if compound or source < 0:
        return terms, "", ""
    return terms, query[:source], query[source:]


def _keys(
    database: sqlite3.Connection, terms: list[str], head: str, tail: str, rows: list[Row]
) -> list[Row] | None:
    """The sort keys of each row: from its own columns, else asked for beside them."""
    if not rows:
        return []
    width = len(rows[0])
    if all(term.isdecimal() for term in terms):
        return [tuple(_cell(row[int(term) - 1]) for term in terms) for row in rows]
    if not head:
        return None
    # A number among the terms names a column, not a value.
    asked = [term for term in terms if not term.isdecimal()]
    try:
        found = database.execute(f"{head.rstrip()}, {', '.join(asked)} {tail}").fetchmany(
            len(rows) + 1
        )
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return _named(database, terms, f"{head}{tail}", rows)
    if [row[:width] for row in found] != rows:
        return None
    own = [int(term) - 1 for term in terms if term.isdecimal()]
    return [tuple(_cell(row[place]) for place in [*own, *range(width, len(row))]) for row in found]


def _named(
    database: sqlite3.Connection, terms: list[str], query: str, rows: list[Row]
) -> list[Row] | None:
    """Sort keys that are names of the query's own columns, as an alias is."""
    try:
        names = [str(column[0]).lower() for column in database.execute(query).description]
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return None
    places = [
        int(term) - 1
        if term.isdecimal()
        else names.index(term.lower())
        if term.lower() in names
        else None
        for term in terms
    ]
    if any(place is None for place in places):
        return None
    known = [place for place in places if place is not None]
    return [tuple(_cell(row[place]) for place in known) for row in rows]
