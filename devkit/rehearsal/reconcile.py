"""Did the rollouts survive what went wrong? Counted from what the platform captured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from devkit.rehearsal.run_files import RolloutRecord


@dataclass
class Reconciliation:
    """What a run under faults came to; all but the results must be nought."""

    rollouts: int = 0
    results: Counter[str] = field(default_factory=Counter[str])
    turn_twice: list[str] = field(default_factory=list[str])
    unreported: list[str] = field(default_factory=list[str])
    in_conflict: list[str] = field(default_factory=list[str])

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, repeated or contradicted."""
        return not (self.turn_twice or self.unreported or self.in_conflict)

    def lines(self) -> Iterator[str]:
        """The figures as text."""
        ways = ", ".join(f"{name} {count}" for name, count in self.results.most_common())
        yield f"{self.rollouts} rollouts ended: {ways}"
        for what, found in (
            ("turns captured twice", self.turn_twice),
            ("rollouts unreported", self.unreported),
            ("reports in conflict", self.in_conflict),
        ):
            some = f"  {', '.join(found[:3])}" if found else ""
            yield f"{what:<22} {len(found)}{some}"


def reconcile(records: Iterable[RolloutRecord]) -> Reconciliation:
    """Reconcile what was captured of each rollout with what it says of itself."""
    found = Reconciliation()
    for record in records:
        found.rollouts += 1
        result = record.error["slug"] if record.error else record.status
        found.results[result] += 1
        # The reply to a failed rollout's last turn may be lost; no other turn is without an answer.
        possibly_captured = 1 if record.error else 0
        if len(record.turns) > record.turns_answered + possibly_captured:
            found.turn_twice.append(record.trajectory_id)
        needed = {"CompleteRollout 200"}
        if record.status == "ready":
            needed.add("UpdateReward 200")
        if not needed <= set(record.reports):
            found.unreported.append(record.trajectory_id)
        if any(report.endswith(" 409") for report in record.reports):
            found.in_conflict.append(record.trajectory_id)
    return found
