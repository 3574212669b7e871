"""A job's dataset from rows: packed into the prompt column, without repeats, split by a hash.

Which side a row falls on depends on the row alone (its key, and the salt), not on the others: a dataset
that grows keeps its validation, and no problem is on both sides.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from devkit.data.sources import Found, Row, files_of, rows_of
from devkit.extras import needed
from rollout.contract import parse_json
from rollout.errors import MalformedRequest
from rollout.service.job_event import instance_of
from rollout.values import NotJson, jsonable

# Lambda's payload of an invocation that is waited for, less what stands around the prompt; and of one
# that is not. Which of the two a job makes is not documented.
MOST_PROMPT, MOST_ASYNC_PROMPT = 6_000_000 - 10_000, 1_000_000 - 10_000
# sagemaker-train 1.27, DATASET_MAX_FILE_SIZE_BYTES.
MOST_FILE = 1024**3
_SHOWN = 20
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True, slots=True)
class Packing:
    """How rows become a dataset.

    Args:
        columns: that go into the instance, in this order; empty for all.
        rename: new names by old ones.
        parse: columns whose text is JSON.
        key: columns that make two rows the same problem; empty for all of the instance.
        validation: share of the problems that are kept for validation.
        salt: of the split; another one gives another split.
        limit: rows that are taken, at most; 0 for all.
        skip_bad: pass over rows that cannot be packed, and count them.
        parquet: write Parquet instead of JSON lines.
    """

    columns: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict[str, str])
    parse: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    validation: float = 0.1
    salt: str = ""
    limit: int = 0
    skip_bad: bool = False
    parquet: bool = False


@dataclass(slots=True)
class Side:
    """What one file of the dataset holds."""

    file: str
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    sizes: array[int] = field(default_factory=lambda: array("L"))


@dataclass(slots=True)
class Column:
    """What a key of the instances holds."""

    types: Counter[str] = field(default_factory=Counter[str])
    longest: int = 0
    example: str = ""


@dataclass(slots=True)
class Packed:
    """What came of it: counts, and the first places of what was left out."""

    read: int = 0
    sources: dict[str, int] = field(default_factory=dict[str, int])
    sides: dict[str, Side] = field(default_factory=dict[str, Side])
    columns: dict[str, Column] = field(default_factory=dict[str, Column])
    repeats: int = 0
    conflicts: int = 0
    bad: int = 0
    large: int = 0
    examples: list[str] = field(default_factory=list[str])

    @property
    def rows(self) -> int:
        """Rows of both sides."""
        return sum(side.rows for side in self.sides.values())

    def note(self, what: str) -> None:
        """Note what was left out, as long as there are not many."""
        if len(self.examples) < _SHOWN:
            self.examples.append(what)


def pack(
    paths: list[Path],
    out: Path,
    how: Packing,
    *,
    split: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Packed:
    """Write ``train`` and ``validation`` into a folder.

    Args:
        paths: files and folders with the rows.
        out: is made; files of an earlier call are replaced.
        split: of folders that have several.
        progress: told how many rows were read, now and then.

    Raises:
        OSError: something cannot be read or written.
        ValueError: naming the row that cannot be packed, or what is missing.
    """
    if not 0 <= how.validation < 1:
        raise ValueError("the share of validation must be at least 0 and less than 1")
    packed = Packed()
    seen: dict[bytes, bytes] = {}
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        writers = {name: opened.enter_context(writer) for name, writer in _writers(out, how)}
        for found, instance in _instances(paths, split, how, packed, progress):
            key, whole = _hashes(instance, how, found.place)
            if key in seen:
                conflict = seen[key] != whole
                packed.repeats += not conflict
                packed.conflicts += conflict
                packed.note(
                    f"{found.place} {'has the key of' if conflict else 'repeats'} another row"
                )
                continue
            seen[key] = whole
            name = VALIDATION if _share(key, how.salt) < how.validation else TRAIN
            writers[name].write(_prompt(instance, found.place, packed))
            _look(instance, packed.columns)
            if how.limit and len(seen) >= how.limit:
                break
    packed.sides = {name: writer.side for name, writer in writers.items()}
    if not packed.rows:
        raise ValueError(f"{', '.join(map(str, paths))}: no row could be packed")
    return packed


def _instances(
    paths: list[Path],
    split: str,
    how: Packing,
    packed: Packed,
    progress: Callable[[int], None],
) -> Iterator[tuple[Found, Row]]:
    for path in paths:
        for file in files_of(path, split):
            for found in rows_of(file):
                packed.read += 1
                packed.sources[str(file)] = packed.sources.get(str(file), 0) + 1
                if packed.read % 10_000 == 0:
                    progress(packed.read)
                try:
                    yield found, _instance(found, how)
                except ValueError as error:
                    wrong = f"{found.place} {error}"
                    if not how.skip_bad:
                        raise ValueError(wrong) from None
                    packed.bad += 1
                    packed.note(wrong)


def _instance(found: Found, how: Packing) -> Row:
    """The instance that a row stands for.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence.
    """
    if found.row is None:
        raise ValueError(found.wrong)
    row = found.row
    if list(row) == ["prompt"] and isinstance(row["prompt"], str):  # a job's row: packed already
        row = instance_of(row["prompt"])
    if missing := [name for name in (*how.columns, *how.rename, *how.parse) if name not in row]:
        raise ValueError(f"has no column {missing[0]!r}; it has {', '.join(row)}")
    made: Row = {}
    for name in how.columns or row:
        value = _parsed(row[name], name) if name in how.parse else row[name]
        new = how.rename.get(name, name)
        if new in made:
            raise ValueError(f"would have two columns {new!r}")
        made[new] = value
    try:
        return jsonable(made)
    except NotJson as error:
        raise ValueError(f"cannot be written as JSON, {error}; leave the column out") from None


def _parsed(text: Any, name: str) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return parse_json(text.encode())
    except (MalformedRequest, UnicodeEncodeError):
        raise ValueError(f"has no JSON in the column {name!r}") from None


def _hashes(instance: Row, how: Packing, place: str) -> tuple[bytes, bytes]:
    """Of the key, and of the whole instance."""
    if missing := [name for name in how.key if name not in instance]:
        raise ValueError(f"{place} has no column {missing[0]!r}, which the key names")
    whole = _digest(instance)
    return (_digest({name: instance[name] for name in how.key}) if how.key else whole), whole


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16]


def _share(key: bytes, salt: str) -> float:
    """Where a key falls between 0 and 1."""
    return int.from_bytes(hashlib.sha256(salt.encode() + key).digest()[:7], "big") / 2**56


def _prompt(instance: Row, place: str, packed: Packed) -> str:
    """The prompt column of an instance, as a job will read it back.

    Raises:
        ValueError: it is too large, or a job could not read it.
    """
    prompt = json.dumps(instance, ensure_ascii=False, separators=(",", ":"))
    size = len(prompt.encode())
    if size > MOST_PROMPT:
        raise ValueError(f"{place} is of {size:,} bytes; a Lambda's event may have 6 MB")
    if instance_of(prompt) != instance:
        raise ValueError(
            f"{place} is not what a job would read back: too deep, or numbers too long"
        )
    if size > MOST_ASYNC_PROMPT:
        packed.large += 1
        packed.note(f"{place} is of {size:,} bytes: too large for a Lambda that is not waited for")
    return prompt


def _look(instance: Row, columns: dict[str, Column]) -> None:
    for name, value in instance.items():
        column = columns.setdefault(name, Column())
        column.types[_JSON_TYPES.get(type(value), "other")] += 1
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        column.longest = max(column.longest, len(text))
        column.example = column.example or text[:80]


_JSON_TYPES: dict[Any, str] = {
    str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null",
    list: "list", dict: "object",
}  # fmt: skip


class _Writer(Protocol):
    side: Side

    def write(self, prompt: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


def _writers(out: Path, how: Packing) -> Iterator[tuple[str, _Writer]]:
    kind = _ParquetFile if how.parquet else _Lines
    for name in (TRAIN, VALIDATION) if how.validation else (TRAIN,):
        for old in (out / f"{name}.jsonl", out / f"{name}.parquet"):
            old.unlink(missing_ok=True)
        yield name, kind(out, name)


class _Lines:
    """A side as JSON lines."""

    def __init__(self, out: Path, name: str) -> None:
        self.side = Side(f"{name}.jsonl")
        self._digest = hashlib.sha256()
        self._file = (out / self.side.file).open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self.side.sha256 = self._digest.hexdigest()

    def write(self, prompt: str) -> None:
        line = json.dumps({"prompt": prompt}, ensure_ascii=False).encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        _count(self.side, prompt, len(line))


class _ParquetFile:
    """A side as Parquet, written a thousand rows at a time."""

    def __init__(self, out: Path, name: str) -> None:
        self.side = Side(f"{name}.parquet")
        self._path = out / self.side.file
        self._arrow = needed("pyarrow", "data")
        self._schema = self._arrow.schema([("prompt", self._arrow.string())])
        self._file = needed("pyarrow.parquet", "data").ParquetWriter(self._path, self._schema)
        self._rows: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._file.close()
        self.side.bytes = self._path.stat().st_size
        self.side.sha256 = hashlib.sha256(self._path.read_bytes()).hexdigest()

    def write(self, prompt: str) -> None:
        self._rows.append(prompt)
        _count(self.side, prompt, len(prompt))
        if len(self._rows) == 1_000:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._arrow.table({"prompt": self._rows}, self._schema))
            self._rows = []


def _count(side: Side, prompt: str, size: int) -> None:
    side.rows += 1
    side.bytes += size
    side.sizes.append(len(prompt.encode()))
    if side.bytes > MOST_FILE:
        raise ValueError(
            f"{side.file} is larger than 1 GB, which sagemaker-train takes at most: take fewer rows with "
            "--limit, or leave columns out"
        )
