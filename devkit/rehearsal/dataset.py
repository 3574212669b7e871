"""A dataset read as a stream: JSON lines, of which all, the first or a seeded sample are played."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.service.job_event import instance_of


@dataclass(frozen=True)
class Dataset:
    """What a first pass over a file found.

    Args:
        sha256: of the file's bytes, hexadecimal.
        rows: lines that hold a row.
    """

    path: Path
    sha256: str
    rows: int

    def choose(self, *, limit: int = 0, sample: int = 0, seed: int = 0) -> ChosenRows:
        """Choose rows: the first ``limit``, or ``sample`` of them by ``seed``; 0 and 0 are all."""
        if sample and sample < self.rows:
            dice = random.Random(seed)  # noqa: S311 - a sample that can be drawn again
            return ChosenRows(self, frozenset(dice.sample(range(self.rows), sample)), sample)
        count = min(limit or self.rows, self.rows)
        return ChosenRows(self, None, count)


@dataclass(frozen=True)
class ChosenRows:
    """The rows of a dataset that are played.

    Args:
        numbers: of the rows, from 0; None for the first ``count``.
    """

    dataset: Dataset
    numbers: frozenset[int] | None
    count: int

    @property
    def all(self) -> bool:
        """Whether no row is left out."""
        return self.count == self.dataset.rows

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and instance of each, read as they are asked for."""
        left = self.count
        for number, instance in enumerate(read(self.dataset.path)):
            if left == 0:
                return
            if self.numbers is None or number in self.numbers:
                left -= 1
                yield number, instance


def survey(path: Path) -> Dataset:
    """Read a whole file once: its fingerprint, and that every line can be played.

    Raises:
        OSError: the file cannot be read.
        ValueError: naming the line that is not a JSON object, or that there is none.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    rows = sum(1 for _ in read(path))
    if rows == 0:
        raise ValueError(f"{path} holds no rows; it must have one JSON object a line")
    return Dataset(path, digest.hexdigest(), rows)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL dataset as instances.

    A row with a ``prompt`` column becomes what a job would make of it; any other row, GSM8K's as
    published for example, is the instance itself.

    Raises:
        ValueError: naming the line that is not a JSON object.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{number} is not a JSON object")
            yield instance_of(row["prompt"]) if "prompt" in row else row
