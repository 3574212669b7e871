"""What is in a dataset, for people (``card.md``) and programs (``card.json``)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

from devkit.data.packing import VALIDATION, Column, Packed, Packing, Side

# global_batch_size of a job, unless it is set.
_BATCH = 128


def write_card(out: Path, packed: Packed, how: Packing) -> dict[str, Any]:
    """Write both; the document."""
    document = card_of(packed, how)
    (out / "card.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    (out / "card.md").write_text(_markdown(out.name, document))
    return document


def card_of(packed: Packed, how: Packing) -> dict[str, Any]:
    """The card as JSON: schema 1; docs/environments/data.md describes it."""
    return {
        "schema": 1,
        "rows": packed.rows,
        "read": packed.read,
        "repeats": packed.repeats,
        "conflicts": packed.conflicts,
        "bad": packed.bad,
        "large": packed.large,
        "examples": packed.examples,
        "warnings": warnings_of(packed, how),
        "splits": {name: _side(side) for name, side in packed.sides.items()},
        "columns": {name: _column(column) for name, column in packed.columns.items()},
        "sources": [
            {"file": file, "rows": rows, "sha256": _sha256(Path(file))}
            for file, rows in packed.sources.items()
        ],
        "packing": asdict(how),
    }


def warnings_of(packed: Packed, how: Packing) -> list[str]:
    """What a job would meet."""
    found: list[str] = []
    if how.validation and not packed.sides[VALIDATION].rows:
        found.append(
            f"No row fell into validation: {packed.rows} rows are few for {how.validation:g}."
        )
    train = packed.rows - (packed.sides[VALIDATION].rows if VALIDATION in packed.sides else 0)
    if train < _BATCH:
        found.append(f"{train} rows to train on are less than one batch of {_BATCH} problems.")
    if packed.conflicts:
        found.append(
            f"{packed.conflicts} rows have the key of another row and differ from it; the first stays."
        )
    if packed.large:
        found.append(f"{packed.large} rows are larger than the 1 MB of an asynchronous invocation.")
    rare = [n for n, c in packed.columns.items() if sum(c.types.values()) < packed.rows]
    if rare:
        found.append(f"Not every row has {', '.join(rare)}.")
    return found


def _side(side: Side) -> dict[str, Any]:
    sizes = side.sizes
    return {
        "file": side.file,
        "rows": side.rows,
        "bytes": side.bytes,
        "sha256": side.sha256,
        "prompt_bytes": {"mean": round(fmean(sizes)), "median": median(sizes), "most": max(sizes)}
        if sizes
        else None,
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "rows": sum(column.types.values()),
        "types": dict(column.types.most_common()),
        "longest": column.longest,
        "example": column.example,
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _markdown(name: str, card: dict[str, Any]) -> str:
    lines = [f"# {name}", "", f"{card['rows']:,} rows, each a problem in the column `prompt`.", ""]
    lines += [
        "| file | rows | bytes | bytes of a prompt: mean, most | SHA-256 |",
        "|---|---|---|---|---|",
    ]
    for side in card["splits"].values():
        sizes = side["prompt_bytes"] or {"mean": 0, "most": 0}
        lines.append(
            f"| `{side['file']}` | {side['rows']:,} | {side['bytes']:,} | {sizes['mean']:,}, "
            f"{sizes['most']:,} | `{side['sha256'][:16]}…` |"
        )
    lines += [
        "",
        "| in the instance | rows | is | longest | for example |",
        "|---|---|---|---|---|",
    ]
    for key, column in card["columns"].items():
        kinds = ", ".join(column["types"])
        lines.append(
            f"| `{_cell(key)}` | {column['rows']:,} | {kinds} | {column['longest']:,} | "
            f"{_cell(column['example'])} |"
        )
    how = card["packing"]
    key = ", ".join(how["key"]) or "the whole instance"
    salt = f", salt `{how['salt']}`" if how["salt"] else ""
    lines += [
        "",
        (
            f"Split by a hash of {key}, {how['validation']:.0%} for validation{salt}: no problem is on "
            "both sides, and a dataset that grows keeps its sides."
        ),
        "",
        (
            f"Read: {card['read']:,} rows. Left out: {card['repeats']:,} repeats, {card['conflicts']:,} "
            f"with the key of another row, {card['bad']:,} that could not be packed."
        ),
        "",
        *(f"- {warning}" for warning in card["warnings"]),
        "",
        "| from | rows | SHA-256 |",
        "|---|---|---|",
        *(f"| `{s['file']}` | {s['rows']:,} | `{s['sha256'][:16]}…` |" for s in card["sources"]),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that stays within its cell and is no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\|`*_[]<>" else c for c in flat)
