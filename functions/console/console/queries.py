"""Query parameters, read strictly: what cannot be read is a 400 that names the parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rollout.errors import BadQuery
from rollout.storage.keys import EVALUATION
from rollout.storage.record import STATES, iso

_JOB = re.compile(r"arn:[a-z0-9:/_\-]{1,250}", re.IGNORECASE)
_GROUP = re.compile(r"[0-9a-f]{16}")

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rollouts of a job to list.

    Args:
        low, high: bounds of the reward, both included; a rollout without a reward is in no range.
        since, until: bounds of the time of acceptance, as the form shows them (UTC).
    """

    state: str
    low: float | None
    high: float | None
    agent: str
    since: str
    until: str

    @classmethod
    def of(cls, query: Query) -> Filter:
        """The filter a query asks for.

        Raises:
            BadQuery: naming the parameter.
        """
        state = query.get("state", "")
        if state and state not in STATES:
            raise BadQuery(f"state must be one of {', '.join(STATES)}.")
        low, high = _number(query, "low"), _number(query, "high")
        since, until = _time(query, "since"), _time(query, "until")
        return cls(state, low, high, text(query, "agent", required=False), since, until)

    @property
    def any(self) -> bool:
        """Whether it leaves anything out."""
        return any((self.state, self.agent, self.since, self.until, self._ranged))

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is to be listed."""
        if self.state and row.get("state") != self.state:
            return False
        if self.agent and row.get("agent") != self.agent:
            return False
        if not self._ranged:
            return True
        reward = float(row["reward"]) if "reward" in row else None
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return reward is not None and low <= reward <= high

    @property
    def _ranged(self) -> bool:
        return self.low is not None or self.high is not None


def job_of(query: Query) -> str:
    """The parameter ``job``: an ARN, or ``evaluation``."""
    job = text(query, "job")
    if job != EVALUATION and not _JOB.fullmatch(job):
        raise BadQuery(f"job must be a job's ARN, or {EVALUATION!r}.")
    return job


def group_of(query: Query, name: str = "group") -> str:
    """The parameter ``group``: 16 hexadecimal digits."""
    group = text(query, name)
    if not _GROUP.fullmatch(group):
        raise BadQuery(f"{name} must be 16 hexadecimal digits, as a group's page has them.")
    return group


def text(query: Query, name: str, *, required: bool = True) -> str:
    """A parameter of 1 to 256 characters; empty where it may be missing."""
    value = query.get(name, "")
    if required and not value:
        raise BadQuery(f"The parameter {name} is missing.")
    if len(value) > 256 or not value.isprintable():
        raise BadQuery(f"{name} must have at most 256 printable characters.")
    return value


def whole(query: Query, name: str, most: int) -> int:
    """A whole number from 0; 0 where it is missing."""
    value = query.get(name, "") or "0"
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) <= most):
        raise BadQuery(f"{name} must be a whole number from 0 to {most}.")
    return int(value)


def _number(query: Query, name: str) -> float | None:
    value = query.get(name, "")
    if not value:
        return None
    try:
        number = float(value) if len(value) < 40 else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadQuery(f"{name} must be a number.")
    return number


def _time(query: Query, name: str) -> str:
    value = query.get(name, "")
    if not value:
        return ""
    try:
        when = datetime.fromisoformat(value)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        if not 0 <= seconds < 4e9:
            raise ValueError
    except (ValueError, OverflowError):
        raise BadQuery(f"{name} must be a time such as 2026-11-24T15:30 (UTC).") from None
    return iso(seconds)
