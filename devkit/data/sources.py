"""Rows of a file or a folder, one after the other, each with the place it stands at.

===================  ==============================================================================
name                 read as
===================  ==============================================================================
``*.jsonl``          one JSON object a line
``*.json``           a JSON array of objects
``*.csv``, ``*.tsv`` a header row, then one row a line; every value is text
``*.parquet``        Apache Parquet, with pyarrow
a folder             what ``datasets`` saved to disk (Arrow files), or the files above in it but .json
===================  ==============================================================================
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from devkit.extras import needed
from rollout.contract import parse_json
from rollout.errors import MalformedRequest

Row = dict[str, Any]
_BATCH = 1_000
# Bytes of one cell of a CSV file; more than a job could send.
_LONGEST_CELL = 8_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """One row, or what is wrong with it.

    Args:
        place: ``file:line`` for text, ``file row N`` (from 1) for columns.
        row: None where it cannot be read.
        wrong: why.
    """

    place: str
    row: Row | None = None
    wrong: str = ""


def files_of(path: Path, split: str = "") -> list[Path]:
    """The files that hold the rows of a path, in order.

    Args:
        path: a file or a folder.
        split: of a folder with several (``train``, ``test`` …).

    Raises:
        ValueError: there is nothing to read, or the folder has several splits and none was named.
    """
    if path.is_file():
        if path.suffix not in _READERS:
            raise ValueError(f"{path}: its name should end in one of {', '.join(_READERS)}")
        return [path]
    if not path.is_dir():
        raise ValueError(f"{path} is neither a file nor a folder")
    parts = path / "dataset_dict.json"
    if parts.exists():
        known: list[str] = json.loads(parts.read_bytes())["splits"]
        if split not in known:
            raise ValueError(f"{path} has the splits {', '.join(known)}: name one with --split")
        return files_of(path / split)
    state = path / "state.json"
    if state.exists():  # in the order in which datasets wrote them
        return [path / entry["filename"] for entry in json.loads(state.read_bytes())["_data_files"]]
    # A .json beside them describes them: a card, what the hub says of a dataset.
    found = sorted(file for file in path.rglob("*") if file.suffix in _READERS.keys() - {".json"})
    if split:
        found = [file for file in found if file.name.startswith(split)]
    if not found:
        raise ValueError(f"{path} holds no file to read: {', '.join(_READERS)}")
    return found


def rows_of(file: Path) -> Iterator[Found]:
    """The rows of one file, as they are read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what its name says, or pyarrow is missing.
    """
    return _READERS[file.suffix](file)


def _lines(file: Path) -> Iterator[Found]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _checked(f"{file}:{number}", lambda line=line: parse_json(line.strip()))


def _array(file: Path) -> Iterator[Found]:
    try:
        rows: Any = parse_json(file.read_bytes())
    except MalformedRequest as error:
        raise ValueError(f"{file} is not JSON: {_reason(error)}") from None
    if not isinstance(rows, list):
        raise ValueError(f"{file} should hold a JSON array of objects")
    for number, row in enumerate(cast("list[Any]", rows), 1):
        yield _checked(f"{file} row {number}", lambda row=row: row)


def _checked(place: str, read: Callable[[], Any]) -> Found:
    try:
        row = read()
    except MalformedRequest as error:
        return Found(place, wrong=f"is not the JSON a job can send: {_reason(error)}")
    if not isinstance(row, dict):
        return Found(place, wrong="is no JSON object")
    return Found(place, cast("Row", row))


def _reason(error: MalformedRequest) -> str:
    return error.detail.removeprefix("The body is not valid JSON: ").rstrip(".")


def _cells(file: Path) -> Iterator[Found]:
    csv.field_size_limit(_LONGEST_CELL)
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter="\t" if file.suffix == ".tsv" else ",", strict=True)
        names: list[str] = next(reader, list[str]())
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{file}:1 should name every column once")
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, UnicodeDecodeError) as error:
                # What follows cannot be told apart any more.
                raise ValueError(f"{file}:{reader.line_num} cannot be read: {error}") from None
            place = f"{file}:{reader.line_num}"
            if len(cells) == len(names):
                yield Found(place, dict(zip(names, cells, strict=True)))
            elif cells:
                yield Found(place, wrong=f"has {len(cells)} cells for {len(names)} columns")


def _parquet(file: Path) -> Iterator[Found]:
    opened = _arrow(file, lambda: needed("pyarrow.parquet", "data").ParquetFile(file))
    return _numbered(file, opened.iter_batches(batch_size=_BATCH))


def _stream(file: Path) -> Iterator[Found]:
    """Arrow's stream format, as ``datasets`` saves it."""
    arrow = needed("pyarrow", "data")
    opened = _arrow(file, lambda: arrow.ipc.open_stream(arrow.memory_map(str(file))))
    return _numbered(file, opened)


def _arrow(file: Path, opening: Callable[[], Any]) -> Any:
    try:
        return opening()
    except OSError:
        raise
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            raise ValueError(f"{file} cannot be read: {error}") from None
        raise


def _numbered(file: Path, batches: Any) -> Iterator[Found]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):  # a batch of datasets may be the whole file
            for row in batch.slice(start, _BATCH).to_pylist():
                number += 1
                yield Found(f"{file} row {number}", row)


_READERS: dict[str, Callable[[Path], Iterator[Found]]] = {
    ".jsonl": _lines, ".json": _array, ".csv": _cells, ".tsv": _cells, ".parquet": _parquet,
    ".arrow": _stream,
}  # fmt: skip
