"""A job's dataset as rows again: JSON lines, CSV, Parquet, or a folder that ``datasets`` loads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devkit.data.sources import Row, files_of, rows_of
from devkit.extras import needed
from rollout.service.job_event import instance_of


def unpack(dataset: Path, out: Path) -> int:
    """Write the instances of a dataset, one row each; how many.

    Args:
        dataset: with a ``prompt`` column, as ``pack`` wrote it.
        out: its name says the form; without a suffix it is a folder for ``datasets.load_from_disk``.

    Raises:
        OSError: something cannot be read or written.
        ValueError: naming the row that is not a job's, or a form that is not written.
    """
    if out.suffix not in _FORMS:
        raise ValueError(f"{out}: its name should end in .jsonl, .csv or .parquet, or in nothing")
    rows: list[Row] = []
    for file in files_of(dataset):
        for found in rows_of(file):
            prompt = (found.row or {}).get("prompt")
            if not isinstance(prompt, str):
                raise ValueError(
                    f"{found.place} {found.wrong or 'has no text in the column prompt'}"
                )
            rows.append(instance_of(prompt))
    if not rows:
        raise ValueError(f"{dataset} holds no rows")
    _FORMS[out.suffix](rows, out)
    return len(rows)


def _lines(rows: list[Row], out: Path) -> None:
    with out.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _cells(rows: list[Row], out: Path) -> None:
    """CSV has text only: what is none is written as JSON, and read again with ``--parse``."""
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _names(rows))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: v if isinstance(v, str) else _json(v) for k, v in row.items()})


def _parquet(rows: list[Row], out: Path) -> None:
    needed("pyarrow.parquet", "data").write_table(_table(rows), out)


def _folder(rows: list[Row], out: Path) -> None:
    arrow = needed("pyarrow", "data")
    table = _table(rows)
    out.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with (
        arrow.OSFile(str(out / name), "wb") as file,
        arrow.ipc.new_stream(file, table.schema) as to,
    ):
        to.write_table(table, max_chunksize=1_000)
    state: dict[str, Any] = {
        "_data_files": [{"filename": name}], "_fingerprint": "0" * 16, "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": None,
    }  # fmt: skip
    (out / "state.json").write_text(json.dumps(state, indent=2))
    (out / "dataset_info.json").write_text("{}")


def _table(rows: list[Row]) -> Any:
    """An Arrow table; a column of several types, or of objects with other keys, is JSON text."""
    arrow = needed("pyarrow", "data")
    columns: dict[str, Any] = {}
    for name in _names(rows):
        values = [row.get(name) for row in rows]
        column = _column(arrow, values)
        if column is None or column.to_pylist() != values:  # a key that an object lacks became null
            column = arrow.array([None if v is None else _json(v) for v in values], arrow.string())
        columns[name] = column
    return arrow.table(columns)


def _column(arrow: Any, values: list[Any]) -> Any:
    try:
        return arrow.array(values)
    except (arrow.ArrowException, OverflowError, TypeError):
        return None


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_FORMS: dict[str, Callable[[list[Row], Path], None]] = {
    ".jsonl": _lines, ".csv": _cells, ".parquet": _parquet, "": _folder,
}  # fmt: skip
