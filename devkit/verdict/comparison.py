"""Two runs side by side: paired by problem, with how sure the difference is, and what else differs."""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from devkit.rehearsal.counts import tool_calls
from devkit.rehearsal.run_files import Manifest, RolloutRecord, read_manifest, read_rollouts
from devkit.verdict.estimates import LEVEL, Floats
from devkit.verdict.quantiles import t_quantile

# Signs are tried in every way up to so many problems, and drawn so often beyond.
_EVERY, _DRAWN = 12, 10_000
_SURE = 1 - LEVEL
_MOVES = 20
# What says which run it is, not what was played.
_OWN = {"schema_", "name", "started_at", "rows", "chosen", "dataset", "latency"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Difference(_Strict):
    """One quantity in both runs, over the problems that both played."""

    name: str
    problems: int
    before: float
    after: float
    change: float = Field(description="Mean of the problems' differences")
    low: float | None = Field(description="95 % confidence, paired; null of a single problem")
    high: float | None
    p: float = Field(description="Of a paired permutation test: how often chance does as much")

    @property
    def sure(self) -> bool:
        """Whether chance alone is an unlikely reason."""
        return self.p < _SURE


class Move(_Strict):
    """A problem whose reward moved."""

    problem: str
    before: float
    after: float


class Setting(_Strict):
    """What the runs were made with and differ in."""

    name: str
    before: str
    after: str


class Comparison(_Strict):
    """What moved from one run to the other, and what may be the reason."""

    schema_: int = Field(default=1, serialization_alias="schema")
    before: str
    after: str
    only_before: int = Field(description="Problems that the other run did not play")
    only_after: int
    settings: list[Setting]
    differences: list[Difference]
    moves: list[Move] = Field(description="The problems that moved the farthest")
    points: list[tuple[float, float]] = Field(description="Mean reward of each problem, both ways")
    verdict: str = Field(description="better, worse, or no difference that chance does not make")


def _doubles() -> array[float]:
    return array("d")


@dataclass(slots=True)
class _Problem:
    """The rollouts of one problem in one run, by quantity."""

    shown: str = ""
    values: dict[str, array[float]] = field(
        default_factory=lambda: defaultdict[str, "array[float]"](_doubles)
    )

    def add(self, record: RolloutRecord, pass_at: float) -> None:
        passed = record.reward is not None and record.reward >= pass_at
        known = [turn.seconds for turn in record.turns if turn.seconds is not None]
        made, failed = tool_calls(record)
        found: dict[str, float | None] = {
            "reward": record.reward,
            "passed": float(passed),
            "failed": float(record.status == "failed"),
            "turns": float(len(record.turns)),
            "completion tokens": float(
                sum(turn.usage.get("completion_tokens", 0) for turn in record.turns)
            ),
            "policy seconds": sum(known),
            "tool calls": float(made),
            "tool errors": float(failed),
            "cut off": float(record.truncated),
            **{f"metric {name}": value for name, value in record.metrics.items()},
        }
        for name, value in found.items():
            if value is not None and math.isfinite(value):
                self.values[name].append(value)

    def mean(self, name: str) -> float | None:
        values = self.values.get(name)
        return sum(values) / len(values) if values else None


def compare(before: Path, after: Path, *, pass_at: float = 1.0, seed: int = 0) -> Comparison:
    """Compare two runs on disk; each is read once.

    Args:
        before, after: directories of the runs.
        pass_at: reward from which on a rollout has passed.
        seed: of the permutations.

    Raises:
        ValueError: one is no run, or no problem was played in both.
    """
    left, right = _problems(before, pass_at), _problems(after, pass_at)
    both = [key for key in left if key in right]
    if not both:
        raise ValueError(f"{before} and {after} have no problem in common: nothing can be paired")
    names = list(dict.fromkeys(name for key in both for name in left[key].values))
    differences = [
        found
        for name in names
        if (found := _difference(name, [(left[key], right[key]) for key in both], seed)) is not None
    ]
    pairs = [
        (left[key].shown, one, other)
        for key in both
        if (one := left[key].mean("reward")) is not None
        and (other := right[key].mean("reward")) is not None
    ]
    moved = sorted((pair for pair in pairs if pair[1] != pair[2]), key=lambda p: -abs(p[2] - p[1]))
    return Comparison(
        before=str(before),
        after=str(after),
        only_before=len(left) - len(both),
        only_after=len(right) - len(both),
        settings=settings_of(read_manifest(before), read_manifest(after)),
        differences=differences,
        moves=[Move(problem=p, before=one, after=other) for p, one, other in moved[:_MOVES]],
        points=[(one, other) for _, one, other in pairs],
        verdict=_verdict(differences),
    )


def settings_of(before: Manifest, after: Manifest) -> list[Setting]:
    """In what two runs differ: agent, packages, rows, policy, sampling."""
    left, right = before.model_dump(exclude=_OWN), after.model_dump(exclude=_OWN)
    return [
        Setting(name=name, before=_short(value), after=_short(right[name]))
        for name, value in left.items()
        if value != right[name]
    ]


def _short(value: object) -> str:
    text = "none" if value in (None, "") else str(value)
    return text[:12] if len(text) == 64 and " " not in text else text


def _problems(run: Path, pass_at: float) -> dict[str, _Problem]:
    """The problems of a run by what they ask; one that stands there twice is two problems."""
    read_manifest(run)
    found: dict[str, _Problem] = {}
    keys: dict[int, str] = {}
    seen: dict[str, int] = defaultdict(int)
    for record in sorted_by_group(read_rollouts(run)):
        if record[0] not in keys:
            text = record[1]
            keys[record[0]] = f"{seen[text]}/{text}"
            seen[text] += 1
            found[keys[record[0]]] = _Problem(record[2])
    for record in read_rollouts(run):
        found[keys[record.group]].add(record, pass_at)
    return found


def sorted_by_group(records: Iterable[RolloutRecord]) -> list[tuple[int, str, str]]:
    """Group, canonical text and first line of each problem, in the order of the rows."""
    known: dict[int, tuple[int, str, str]] = {}
    for record in records:
        if record.group not in known:
            text = json.dumps(record.instance, sort_keys=True)
            texts = (value for value in record.instance.values() if isinstance(value, str))
            known[record.group] = (record.group, text, (next(texts, None) or text)[:80])
    return [known[group] for group in sorted(known)]


def _difference(
    name: str, pairs: Sequence[tuple[_Problem, _Problem]], seed: int
) -> Difference | None:
    means = [(one.mean(name), other.mean(name)) for one, other in pairs]
    known = [(one, other) for one, other in means if one is not None and other is not None]
    if not known:
        return None
    table = np.array(known)
    change = table[:, 1] - table[:, 0]
    middle = float(change.mean())
    low = high = None
    if len(change) > 1:
        error = float(change.std(ddof=1)) / math.sqrt(len(change))
        reach = t_quantile((1 + LEVEL) / 2, len(change) - 1) * error
        low, high = middle - reach, middle + reach
    return Difference(
        name=name,
        problems=len(known),
        before=float(table[:, 0].mean()),
        after=float(table[:, 1].mean()),
        change=middle,
        low=low,
        high=high,
        p=permutation(change, seed),
    )


def permutation(change: Floats, seed: int = 0) -> float:
    """How often the differences of the problems sum up to as much if their signs are chance.

    The paired randomisation test (Fisher 1935): exact for few problems, by 10,000 draws for more.
    """
    moved = change[np.abs(change) > 1e-12]
    if not len(moved):
        return 1.0
    seen = abs(float(moved.sum())) * (1 - 1e-9)
    if len(moved) <= _EVERY:
        signs = np.array(list(itertools.product((1, -1), repeat=len(moved))))
        return float((np.abs(signs @ moved) >= seen).mean())
    dice = np.random.default_rng(seed)
    as_much = 0
    for _ in range(_DRAWN // 100):
        signs = dice.integers(0, 2, (100, len(moved))) * 2 - 1
        as_much += int((np.abs(signs @ moved) >= seen).sum())
    return (as_much + 1) / (_DRAWN + 1)


def _verdict(differences: Sequence[Difference]) -> str:
    reward = next((each for each in differences if each.name == "reward"), None)
    if reward is None:
        return "not comparable"
    if not reward.sure:
        return "no difference"
    return "better" if reward.change > 0 else "worse"
