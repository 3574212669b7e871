"""A dataset read as a stream: JSON lines, of which all, the first or a seeded sample are played."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rollout.contract import parse_json
from rollout.errors import MalformedRequest
from rollout.service.job_event import instance_of


@dataclass(frozen=True)
class Dataset:
    """What a first pass over a file found.

    Args:
        sha256: of the file's bytes, hexadecimal.
        rows: lines that hold a row.
        instances: whether a row without a column prompt is an instance itself, as no job could send it.
        bad: what is wrong with the lines that are passed over, each with its number.
    """

    path: Path
    sha256: str
    rows: int
    instances: bool = False
    bad: tuple[str, ...] = ()

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

    def _passed(self, wrong: str) -> None:
        """Pass a bad line over, if the survey did; a file that has changed since is another one."""
        if wrong not in self.dataset.bad:
            raise ValueError(wrong)

    @property
    def all(self) -> bool:
        """Whether no row is left out."""
        return self.count == self.dataset.rows

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and instance of each, read as they are asked for."""
        left = self.count
        rows = read(self.dataset.path, self._passed, instances=self.dataset.instances)
        for number, instance in enumerate(rows):
            if left == 0:
                return
            if self.numbers is None or number in self.numbers:
                left -= 1
                yield number, instance


def survey(path: Path, *, skip_bad: bool = False, instances: bool = False) -> Dataset:
    """Read a whole file once: its fingerprint, and that every line can be played as a job would.

    Args:
        skip_bad: pass over the lines that cannot be, and tell them.
        instances: take a row without a column ``prompt`` for an instance; else it cannot be played.

    Raises:
        OSError: the file cannot be read.
        ValueError: naming the line that is not a JSON object or has no ``prompt``, or that there is none.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    bad: list[str] = []
    rows = sum(1 for _ in read(path, bad.append if skip_bad else None, instances=instances))
    if rows == 0:
        raise ValueError(f"{path} holds no rows; it must have one JSON object a line")
    return Dataset(path, digest.hexdigest(), rows, instances, tuple(bad))


def read(
    path: Path, bad: Callable[[str], None] | None = None, *, instances: bool = True
) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL dataset as instances.

    A row with a ``prompt`` column becomes what a job would make of it; any other row, GSM8K's as
    published for example, is the instance itself, or with ``instances=False`` wrong: a job takes the
    first column of such a dataset for its prompt (DESIGN 2.5), and the rest never reaches the agent.

    Args:
        bad: told what is wrong with a line, which is then passed over; None to stop at the first.

    Raises:
        ValueError: naming the line that cannot be played, and why.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _row(line, instances=instances)
            except ValueError as error:
                wrong = f"{path}:{number} {error}"
                if bad is None:
                    raise ValueError(wrong) from None
                bad(wrong)


def _row(line: bytes, *, instances: bool) -> dict[str, Any]:
    """One line as the instance it stands for, held to the JSON a job's request is held to.

    Raises:
        ValueError: why it cannot be played.
    """
    try:
        row: Any = parse_json(line.strip())
    except MalformedRequest as error:
        raise ValueError(f"is not the JSON a job can send: {_reason(error)}") from None
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    known = cast("dict[str, Any]", row)
    if "prompt" not in known:
        if instances:
            return known
        raise ValueError(
            f"{without_prompt(known)}; pack the row into prompt as JSON text, or play rows as they are "
            "with --instances"
        )
    prompt = known["prompt"]
    instance = instance_of(prompt)
    if isinstance(prompt, str) and prompt.lstrip().startswith("{") and "prompt" in instance:
        # A job would hand it over as plain text, which nobody meant who packed an object.
        try:
            parse_json(prompt.encode())
        except MalformedRequest as error:
            raise ValueError(
                f"packs a prompt that is not the JSON a job can read: {_reason(error)}"
            ) from None
    return instance


def without_prompt(row: dict[str, Any]) -> str:
    """What a job makes of a row without a column ``prompt``, as the end of a sentence about its line."""
    first = (
        f"its first column, {next(iter(row))!r}, as text, and nothing else" if row else "nothing"
    )
    return f"has no column prompt: a job would send {first}"


def _reason(error: MalformedRequest) -> str:
    return error.detail.removeprefix("The body is not valid JSON: ").rstrip(".")
