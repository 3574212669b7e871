"""What a check says: how it stands, what was found, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

# ``unchecked``: AWS could not be asked, or would not answer; nothing is known to be wrong.
CheckLevel = Literal["ok", "warning", "error", "unchecked"]
# Of many names, how many a line has room for.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report.

    Args:
        level: how it stands.
        check: a short name for programs, the same in every run.
        what: what was found, a sentence.
        mend: what to do; empty where nothing is to be done.
        measured: the value found, with its unit.
    """

    level: CheckLevel
    check: str
    what: str
    mend: str = ""
    measured: str = ""

    def document(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return asdict(self)


def ok(check: str, what: str, measured: str = "") -> CheckResult:
    """Nothing to do."""
    return CheckResult("ok", check, what, "", measured)


def warning(check: str, what: str, mend: str, measured: str = "") -> CheckResult:
    """It works, but not as it should."""
    return CheckResult("warning", check, what, mend, measured)


def error(check: str, what: str, mend: str, measured: str = "") -> CheckResult:
    """A job would fail, or lose rollouts."""
    return CheckResult("error", check, what, mend, measured)


def some(names: list[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def unchecked(check: str, what: str, mend: str) -> CheckResult:
    """It could not be looked at."""
    return CheckResult("unchecked", check, what, mend)
