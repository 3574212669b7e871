"""A fault script: what goes wrong with which call.

Written as text, one fault per comma: ``OPERATION[@N]:KIND[=VALUE][%SHARE]``. ``Sample@2:status=429``
fails every trajectory's second Sample; ``UpdateReward:drop-after%0.1`` loses one answer in ten.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["status", "delay", "drop-before", "drop-after"]
OPERATIONS = ("Sample", "SampleWithResponseStream", "CompleteRollout", "UpdateReward", "*")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        operation: which calls, ``*`` for all.
        kind: ``status`` answers an error; ``delay`` waits; ``drop-before`` closes the connection
            before anything is committed, ``drop-after`` once it is.
        nth: only a trajectory's nth call of the operation, from 1; None for every call.
        value: the status, or the delay in seconds.
        share: probability that the fault strikes a call it applies to.
        trajectory_id: only this trajectory; empty for all.
    """

    operation: str
    kind: Kind
    nth: int | None = None
    value: float = 0
    share: float = 1.0
    trajectory_id: str = ""


@dataclass
class FaultScript:
    """Faults and the seeded dice that decide when those with a share strike."""

    faults: list[Fault] = field(default_factory=list[Fault])
    seed: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - a repeatable fault script

    def strike(self, operation: str, nth: int, trajectory_id: str = "") -> list[Fault]:
        """The faults that strike a trajectory's nth call of an operation."""
        return [
            fault
            for fault in self.faults
            if fault.operation in (operation, "*")
            and fault.nth in (None, nth)
            and fault.trajectory_id in ("", trajectory_id)
            and (fault.share >= 1 or self._dice.random() < fault.share)
        ]


def parse_faults(text: str, seed: int = 0) -> FaultScript:
    """Read a fault script.

    Raises:
        ValueError: naming the part that cannot be read.
    """
    faults: list[Fault] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            where, what = part.split(":", 1)
            operation, _, nth = where.partition("@")
            what, _, share = what.partition("%")
            kind, _, value = what.partition("=")
            if operation not in OPERATIONS or kind not in get_args(Kind):
                raise ValueError
            faults.append(
                Fault(
                    operation,
                    kind,  # type: ignore[arg-type] - checked against Kind just above
                    int(nth) if nth else None,
                    float(value) if value else 0,
                    float(share) if share else 1.0,
                )
            )
        except ValueError:
            raise ValueError(
                f"fault {part!r} is not OPERATION[@N]:KIND[=VALUE][%SHARE] with OPERATION one of "
                f"{', '.join(OPERATIONS)} and KIND one of {', '.join(get_args(Kind))}"
            ) from None
    return FaultScript(faults, seed)


@dataclass(frozen=True)
class Preset:
    """Faults by a name that a user understands.

    Args:
        script: as :func:`parse_faults` reads it.
        kill: share of the rollouts whose worker is killed on the way.
        says: what goes wrong.
    """

    script: str
    kill: float = 0.0
    says: str = ""


PRESETS = {
    "throttling": Preset(
        "Sample:status=429%0.3,CompleteRollout:status=429%0.3,UpdateReward:status=429%0.3",
        says="three calls in ten are refused with 429",
    ),
    "timeouts": Preset(
        "Sample:delay=2%0.1,Sample:drop-after%0.05,CompleteRollout:drop-after%0.3,"
        "UpdateReward:drop-after%0.3",
        says="slow turns; one reply in twenty and three receipts in ten never arrive",
    ),
    "outage": Preset(
        "CompleteRollout@1:drop-before,CompleteRollout@2:status=503,CompleteRollout@3:status=500,"
        "UpdateReward@1:status=503,UpdateReward@2:drop-before",
        says="the trainer takes a report only at the third or fourth attempt",
    ),
    "killed-worker": Preset("", kill=0.5, says="half of the workers are killed on the way"),
}


def preset_of(text: str) -> Preset:
    """A preset by its name, or a script of one's own; nothing goes wrong where there is none.

    Raises:
        ValueError: it is neither.
    """
    if not text:
        return Preset("")
    if text in PRESETS:
        return PRESETS[text]
    try:
        parse_faults(text)
    except ValueError as error:
        raise ValueError(f"{error}; or one of {', '.join(PRESETS)}") from None
    return Preset(text, says="faults of the script")
