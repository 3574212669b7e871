"""What a new score moved, rollout by rollout and group by group."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from devkit.rehearsal.counts import Group
from devkit.rehearsal.run_files import RolloutRecord

_TOP = 20


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where an agent went another way.

    Args:
        turn: number of the first turn that differs, from 1.
        why: what differs.
    """

    turn: int
    why: str


@dataclass(slots=True)
class GroupChange:
    """A group before and after."""

    before: Group = field(default_factory=Group)
    after: Group = field(default_factory=Group)
    moved: int = 0

    def document(self, number: int) -> dict[str, Any]:
        """As JSON."""
        return {
            "group": number,
            "before": _side(self.before),
            "after": _side(self.after),
            "moved": self.moved,
        }


@dataclass(slots=True)
class ScoreChanges:
    """What a new score changed; no transcripts are kept."""

    run: str
    out: str
    agent: str
    rollouts: int = 0
    moved: int = 0
    kept: int = 0
    broken: int = 0
    diverged: int = 0
    divergences: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    top: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    pairs: dict[int, GroupChange] = field(default_factory=dict[int, GroupChange])

    def add(self, old: RolloutRecord, new: RolloutRecord, found: Divergence | None) -> None:
        """Count one rollout."""
        pair = self.pairs.setdefault(old.group, GroupChange())
        self.rollouts += 1
        for side, record in ((pair.before, old), (pair.after, new)):
            side.played += 1
            if record.reward is not None:
                side.rewards.append(record.reward)
        if found is not None:
            self.diverged += 1
            if len(self.divergences) < _TOP:
                self.divergences.append({"trajectory_id": old.trajectory_id, **asdict(found)})
            return
        self.broken += new.status == "failed" and old.status == "ready"
        if old.reward != new.reward:
            self.moved += 1
            pair.moved += 1
            self._note(old, new)

    def _note(self, old: RolloutRecord, new: RolloutRecord) -> None:
        self.top.append(
            {
                "trajectory_id": old.trajectory_id,
                "group": old.group,
                "before": old.reward,
                "after": new.reward,
            }
        )
        self.top.sort(key=_far)
        del self.top[_TOP:]

    def document(self) -> dict[str, Any]:
        """Everything as JSON, group by group."""
        before = [reward for pair in self.pairs.values() for reward in pair.before.rewards]
        after = [reward for pair in self.pairs.values() for reward in pair.after.rewards]
        return {
            "schema": 1,
            "run": self.run,
            "out": self.out,
            "agent": self.agent,
            "rollouts": self.rollouts,
            "moved": self.moved,
            "kept": self.kept,
            "broken": self.broken,
            "diverged": self.diverged,
            "divergences": self.divergences,
            "mean_before": fmean(before) if before else None,
            "mean_after": fmean(after) if after else None,
            "groups_without_spread_before": sum(p.before.flat for p in self.pairs.values()),
            "groups_without_spread_after": sum(p.after.flat for p in self.pairs.values()),
            "top_moves": self.top,
            "groups": [self.pairs[number].document(number) for number in sorted(self.pairs)],
        }


def _side(group: Group) -> dict[str, Any]:
    return {"mean": group.mean, "deviation": group.deviation, "flat": group.flat}


def _far(move: dict[str, Any]) -> float:
    """The farthest move first; from or to no reward is farther than any."""
    if move["before"] is None or move["after"] is None:
        return float("-inf")
    return -abs(move["after"] - move["before"])
