"""How values look: numbers, times, and text that somebody else wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
# Control characters (ANSI escapes begin with one), marks that turn the direction of what follows, and
# halves of surrogate pairs, which no page can carry.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_NONE = "\N{EN DASH}"


def templates() -> Environment:
    """The templates; everything they show is made visible and escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "count": count,
        "counted": counted,
        "number": number,
        "percent": percent,
        "seconds": seconds,
        "moment": moment,
        "clock": clock,
        "short": short,
    }
    cast("dict[str, Any]", environment.filters).update(filters)
    return environment


def finalized(value: Any) -> Any:
    """Every value a template shows goes through here, before it is escaped."""
    if value is None:
        return _NONE
    return visible(value) if type(value) is str else value


def visible(text: str) -> str:
    """Text with characters that hide, reorder or colour written out: ``ESC`` as ␛, others by number."""
    return _HIDDEN.sub(_symbol, text)


def _symbol(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def link(base: str, page: str, **query: str) -> str:
    """A page's address; empty parameters are left out."""
    given = {name: value for name, value in query.items() if value}
    asked = f"?{urlencode(given, errors='replace')}" if given else ""
    return f"{base}/{page}{asked}"


def count(value: int) -> str:
    """1024 as ``1,024``."""
    return f"{value:,}"


def counted(value: int, what: str) -> str:
    """A count with what it counts: ``1 turn``, ``3 turns``."""
    return f"{value:,} {what}{'' if value == 1 else 's'}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed number of digits, so that a column of them lines up."""
    if value is None:
        return _NONE
    return f"{value:.{digits}f}" if abs(value) < 1e9 else f"{value:.{digits}e}"


def percent(value: float | None) -> str:
    """A share as per cent."""
    return _NONE if value is None else f"{value * 100:.1f} %"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if value is None:
        return _NONE
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7_200 else f"{value / 3_600:.1f} h"


def moment(value: str | float | None) -> str:
    """A time, ISO text or epoch seconds, as ``2026-11-24 15:30:08`` in UTC."""
    if not value:
        return _NONE
    when = (
        datetime.fromisoformat(value)
        if isinstance(value, str)
        else datetime.fromtimestamp(value, UTC)
    )
    return f"{when:%Y-%m-%d %H:%M:%S}"


def clock(value: str | None) -> str:
    """A time as a form's field takes it."""
    return value[:16] if value else ""


def short(job: str) -> str:
    """A job by the last part of its ARN; an evaluation may have the name of a job that trains."""
    *_, kind, name = f"//{job}".rsplit("/", 2)
    return f"{name} (evaluation)" if kind == "AgentRFTEvaluation" else name
