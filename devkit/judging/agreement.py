"""A judge asked about transcripts that people have labelled, and how far the two agree.

Cohen's kappa is the agreement beyond what two who answer at random, each as often as it does, would have:
1 is all, 0 is chance. The weighted one counts a miss by the square of how far it is off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from devkit.data.sources import rows_of
from devkit.rehearsal.run_files import read_rollouts
from rollout.episode import Turn
from rollout.errors import RolloutError, ToolBroken
from rollout.judge import Judge, Verdict
from rollout.rubric import Trajectory

_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Labelled:
    """One transcript and what people said of it."""

    place: str
    label: int
    messages: list[dict[str, Any]]
    instance: dict[str, Any]


def judge_of(path: str) -> Judge:
    """A judge by ``module:NAME``.

    Raises:
        ValueError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{module} cannot be imported: {error}") from None
    if not isinstance(found, Judge):
        raise ValueError(f"{path} is no Judge; name one as module:NAME")
    return found


def labelled_rows(
    path: Path, scale: int, *, run: Path | None = None, limit: int = 0
) -> list[Labelled]:
    """The rows of a labelled file.

    Raises:
        ValueError: naming the line that is none, or whose rollout the run does not have.
    """
    played = {r.trajectory_id: r for r in read_rollouts(run)} if run else {}
    rows: list[Labelled] = []
    for found in rows_of(path):
        row = found.row
        if row is None:
            raise ValueError(f"{found.place} {found.wrong}")
        label = row.get("label")
        if type(label) is not int or not 0 <= label <= scale:
            raise ValueError(f"{found.place} has no label from 0 to {scale}")
        if run:
            record = played.get(str(row.get("trajectory_id")))
            if record is None:
                raise ValueError(f"{found.place} names no trajectory_id of {run}")
            messages, instance = record.messages(), record.instance
        else:
            messages, instance = row.get("messages"), row.get("instance", {})
        if not _is_conversation(messages) or not isinstance(instance, dict):
            raise ValueError(f"{found.place} has no messages that end with the assistant's")
        known = cast("list[dict[str, Any]]", messages)
        rows.append(Labelled(found.place, label, known, cast("dict[str, Any]", instance)))
        if limit and len(rows) == limit:
            break
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return rows


def _is_conversation(messages: Any) -> bool:
    if not isinstance(messages, list) or not messages:
        return False
    known = cast("list[Any]", messages)
    return all(isinstance(each, dict) for each in known) and known[-1].get("role") == "assistant"


@dataclass(slots=True)
class Agreement:
    """What came of it."""

    judge: Judge
    pairs: list[tuple[Labelled, Verdict]] = field(default_factory=list[tuple[Labelled, Verdict]])
    failed: list[str] = field(default_factory=list[str])
    used: dict[str, float] = field(default_factory=dict[str, float])

    def document(self) -> dict[str, Any]:
        """As JSON; docs/environments/judge.md describes it."""
        scale = self.judge.scale
        confusion = [[0] * (scale + 1) for _ in range(scale + 1)]
        for row, verdict in self.pairs:
            confusion[row.label][_given(verdict)] += 1
        apart = [(row, verdict) for row, verdict in self.pairs if row.label != _given(verdict)]
        apart.sort(key=lambda pair: -abs(pair[0].label - _given(pair[1])))
        return {
            "judge": self.judge.name,
            "model": self.judge.model.name,
            "rows": len(self.pairs) + len(self.failed),
            "without_verdict": len(self.failed),
            "why": self.failed[:_EXAMPLES],
            "accuracy": 1 - len(apart) / len(self.pairs) if self.pairs else None,
            "kappa": kappa(confusion, weighted=False),
            "weighted_kappa": kappa(confusion, weighted=True),
            "confusion": confusion,
            "addressed": sum(verdict.addressed for _, verdict in self.pairs),
            "used": {name: self.used[name] for name in sorted(self.used)},
            "disagreements": [
                {
                    "place": row.place,
                    "label": row.label,
                    "score": _given(verdict),
                    "addressed": verdict.addressed,
                    "reason": verdict.reason,
                }
                for row, verdict in apart[:_EXAMPLES]
            ],
        }


def _given(verdict: Verdict) -> int:
    """The score that counts: none is given to a transcript that speaks to the judge."""
    return 0 if verdict.addressed else verdict.score


def ask_all(
    judge: Judge,
    rows: Sequence[Labelled],
    *,
    concurrency: int = 8,
    progress: Callable[[int], None] = lambda _: None,
) -> Agreement:
    """Ask the judge about each row.

    Raises:
        ValueError: the judge is not set up.
    """
    agreement = Agreement(judge)
    with ThreadPoolExecutor(concurrency) as pool:
        for done, (row, said, metrics) in enumerate(pool.map(partial(_ask, judge), rows), 1):
            if isinstance(said, Verdict):
                agreement.pairs.append((row, said))
            else:
                agreement.failed.append(f"{row.place}: {said}")
            for name, value in metrics.items():
                key = name.rpartition("/")[2]
                agreement.used[key] = agreement.used.get(key, 0.0) + value
            progress(done)
    return agreement


def _ask(judge: Judge, row: Labelled) -> tuple[Labelled, Verdict | str, dict[str, float]]:
    reply = {"choices": [{"message": row.messages[-1]}]}
    turn = Turn(messages=row.messages[:-1], repeated=0, params={}, reply=reply, seconds=0.0)
    metrics: dict[str, float] = {}

    def step(name: str, effect: Callable[[], Any], *, idempotent: bool = False) -> Any:
        del name, idempotent
        return effect()

    try:
        return row, judge.verdict(Trajectory(row.instance, [turn], None, metrics, step)), metrics
    except ToolBroken as error:
        return row, error.detail, metrics
    except RolloutError as error:
        raise ValueError(error.detail) from None


def kappa(confusion: Sequence[Sequence[int]], *, weighted: bool) -> float | None:
    """Cohen's kappa of a square table of counts; None where there are no rows, or one answer only."""
    size = len(confusion)
    total = sum(map(sum, confusion))
    if not total:
        return None
    rows = [sum(row) for row in confusion]
    columns = [sum(column) for column in zip(*confusion, strict=True)]
    observed = expected = 0.0
    for i in range(size):
        for j in range(size):
            weight = float((i - j) ** 2) if weighted else float(i != j)
            observed += weight * confusion[i][j] / total
            expected += weight * rows[i] * columns[j] / total**2
    return 1 - observed / expected if expected else None
