"""Faults of a dataset that can be read from its rows: nothing is played."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devkit.detectors.fault import SHOWN, Fault

# Where a row asks its question, and where it keeps what is right.
_QUESTIONS = ("question", "prompt", "problem", "input", "task", "query", "instruction")
_ANSWERS = ("answer", "gold", "target", "solution", "expected", "label", "output", "reference")
# A field that this share of the rows has is missed where it is not.
_USUAL, _FEW = 0.9, 5
# Two texts of so many words or more are near where they share this part of them, and their numbers.
_NEAR, _WORDS = 0.9, 8
# Rows compared word by word; the time grows with their square.
_COMPARED = 3_000

Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True)
class _Asked:
    """A row as its question, what tells it apart, and what is right.

    A row that names no question has none here: the same question may go with other hidden fields.
    """

    number: int
    text: str
    rest: str
    answer: str

    @property
    def plain(self) -> str:
        """The question without case, marks and spaces."""
        text = unicodedata.normalize("NFKC", self.text).casefold()
        return " ".join(re.findall(r"[\w.+\-*/=<>]*\w", text))


def search_rows(rows: Iterable[Row], validation: Iterable[Row] = ()) -> list[Fault]:
    """What is wrong with a dataset.

    Args:
        rows: number and instance of each.
        validation: of another dataset, which must hold none of them.
    """
    known = list(rows)
    asked = [_asked(number, instance) for number, instance in known]
    return [
        *_missing(known),
        *_contradictions(asked),
        *_duplicates(known, asked),
        *_leaks(asked, [_asked(number, instance) for number, instance in validation]),
    ]


def _asked(number: int, instance: Mapping[str, Any]) -> _Asked:
    answers = {name: value for name, value in instance.items() if name in _ANSWERS}
    questions = {name: value for name, value in instance.items() if name in _QUESTIONS}
    rest = {n: v for n, v in instance.items() if n not in answers and n not in questions}
    text = " ".join(v if isinstance(v, str) else _text(v) for v in questions.values())
    return _Asked(number, text, _text(rest), _text(answers))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _missing(rows: Sequence[Row]) -> Iterator[Fault]:
    """Rows without a field that nearly every other row has."""
    if len(rows) < _FEW:
        return
    held = Counter(n for _, row in rows for n, value in row.items() if value not in (None, ""))
    for name, count in held.items():
        lacking = [number for number, row in rows if row.get(name) in (None, "")]
        if lacking and count >= _USUAL * len(rows):
            yield Fault(
                "missing-field",
                len(lacking) / len(rows),
                tuple(lacking),
                f"{len(lacking)} rows have no {name!r}, which the other {count} have.",
                f"row {lacking[0]}",
                "Fill it in, or drop the rows: an agent that reads it fails there, or grades nonsense.",
            )


def _contradictions(rows: Sequence[_Asked]) -> Iterator[Fault]:
    """Rows that ask the same and want different answers."""
    first: dict[tuple[str, str], _Asked] = {}
    pairs: list[tuple[_Asked, _Asked]] = []
    for row in rows:
        other = first.setdefault((row.plain, row.rest), row)
        if row.plain and other.answer != row.answer:
            pairs.append((other, row))
    if pairs:
        one, other = pairs[0]
        yield Fault(
            "contradicting-gold",
            len(pairs) / len(rows),
            tuple(sorted({row.number for pair in pairs for row in pair})),
            f"{len(pairs)} pairs of rows ask the same and want different answers.",
            f"rows {one.number} and {other.number}: {one.answer[:SHOWN]} and {other.answer[:SHOWN]}",
            "Drop one of each pair, or ask for what tells them apart.",
        )


def _duplicates(rows: Sequence[Row], asked: Sequence[_Asked]) -> Iterator[Fault]:
    """Rows that stand in the dataset more than once, or differ in nothing that matters."""
    seen: dict[str, int] = {}
    twice: list[tuple[int, int]] = []
    for number, instance in rows:
        first = seen.setdefault(_text(instance), number)
        if first != number:
            twice.append((first, number))
    if twice:
        yield Fault(
            "duplicate-rows",
            len(twice) / len(rows),
            tuple(number for _, number in twice),
            f"{len(twice)} rows stand in the dataset a second time.",
            f"rows {twice[0][0]} and {twice[0][1]}",
            "Drop them: they weigh twice, and in a validation set they tell nothing new.",
        )
    exact = {number for _, number in twice}
    near = [
        pair
        for pair in _near([row for row in asked if row.number not in exact])
        if pair[0].answer == pair[1].answer
    ]
    if near:
        one, other = near[0]
        yield Fault(
            "near-duplicates",
            len(near) / len(rows),
            tuple(sorted({other.number for _, other in near})),
            f"{len(near)} rows ask what another row asks, in nearly the same words.",
            f"rows {one.number} and {other.number}: {one.text[:SHOWN]!r} and {other.text[:SHOWN]!r}",
            "Keep one of each: they weigh twice.",
            "doubt",
        )


def _leaks(rows: Sequence[_Asked], validation: Sequence[_Asked]) -> Iterator[Fault]:
    """Rows of the training set in the validation set."""
    known = {(row.plain, row.rest): row for row in rows if row.plain}
    seen = [(known[key], row) for row in validation if (key := (row.plain, row.rest)) in known]
    if seen:
        one, other = seen[0]
        yield Fault(
            "trained-on-validation",
            len(seen) / len(validation),
            tuple(row.number for row, _ in seen),
            f"{len(seen)} of {len(validation)} rows of the validation set are in the training set.",
            f"row {one.number} is row {other.number} there: {one.text[:SHOWN]!r}",
            "Take them out of one of the two: their score says nothing of what was learned.",
        )


def _near(rows: Sequence[_Asked]) -> Iterator[tuple[_Asked, _Asked]]:
    """Pairs of rows whose questions are the same but for marks, or share nearly every word."""
    same: dict[tuple[str, str], _Asked] = {}
    by_numbers: dict[tuple[Any, ...], list[tuple[_Asked, Counter[str]]]] = defaultdict(list)
    for row in rows[:_COMPARED]:
        words = row.plain.split()
        first = same.setdefault((row.plain, row.rest), row)
        if row.plain and first is not row:
            yield first, row
            continue
        if len(words) < _WORDS:
            continue
        # Texts made from one template differ in their numbers, and are different problems.
        numbers = tuple(word for word in words if any(c.isdigit() for c in word))
        counted = Counter(words)
        near = (
            other
            for other, theirs in by_numbers[numbers, row.rest]
            if (counted & theirs).total() >= _NEAR * max(counted.total(), theirs.total())
        )
        other = next(near, None)
        if other is not None:
            yield other, row
        by_numbers[numbers, row.rest].append((row, counted))
