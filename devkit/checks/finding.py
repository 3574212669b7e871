"""What a check says: how it stands, what was found, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

# ``unchecked``: AWS could not be asked, or would not answer; nothing is known to be wrong.
Level = Literal["ok", "warning", "error", "unchecked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Args:
        level: how it stands.
        check: a short name for programs, the same in every run.
        what: what was found, a sentence.
        mend: what to do; empty where nothing is to be done.
        measured: the value found, with its unit.
    """

    level: Level
    check: str
    what: str
    mend: str = ""
    measured: str = ""

    def document(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return asdict(self)


def ok(check: str, what: str, measured: str = "") -> Finding:
    """Nothing to do."""
    return Finding("ok", check, what, "", measured)


def warning(check: str, what: str, mend: str, measured: str = "") -> Finding:
    """It works, but not as it should."""
    return Finding("warning", check, what, mend, measured)


def error(check: str, what: str, mend: str, measured: str = "") -> Finding:
    """A job would fail, or lose rollouts."""
    return Finding("error", check, what, mend, measured)


def unchecked(check: str, what: str, mend: str) -> Finding:
    """It could not be looked at."""
    return Finding("unchecked", check, what, mend)
