"""``rollout data``: make a job's dataset of what there is, and rows of a job's dataset."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from devkit.commands.arguments import at_least
from devkit.commands.messages import wrong

_PACK = """\
reads   .jsonl, .json (an array), .csv, .tsv, .parquet, and folders: of such files, or as `datasets` saves
        them to disk. Parquet and Arrow need pyarrow (the extra "data").
writes  train.jsonl and validation.jsonl, with a column `prompt` that packs each row; card.md and
        card.json say what is in them.

A row whose only column is `prompt` is a job's already and is read as a job would read it. A row that
cannot be packed stops the command with its file and line, unless --skip-bad. Exit codes: 0 packed, 2 a
wrong call or wrong data.
"""


def register(commands: Any) -> None:
    """Add ``data`` to the command line."""
    data = commands.add_parser(
        "data", help="make a job's dataset of JSONL, CSV, Parquet or datasets' folders"
    )
    verbs = data.add_subparsers(required=True, metavar="VERB")
    pack = verbs.add_parser(
        "pack",
        help="rows into a job's dataset: packed, without repeats, split, checked",
        epilog=_PACK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pack.add_argument("source", type=Path, nargs="+", help="files and folders")
    pack.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    pack.add_argument("--split", default="", help="of a folder that has several: train, test, …")
    pack.add_argument("--columns", type=_names, default=(), help="A,B: only these (all)")
    pack.add_argument("--rename", type=_pair, action="append", default=[], metavar="OLD=NEW")
    pack.add_argument("--parse", type=_names, default=(), help="A,B: columns whose text is JSON")
    pack.add_argument(
        "--key",
        type=_names,
        default=(),
        help="A,B: what makes two rows one problem (all of the row)",
    )
    pack.add_argument(
        "--validation", type=float, default=0.1, help="share kept for validation (0.1)"
    )
    pack.add_argument("--salt", default="", help="another salt, another split")
    pack.add_argument("--limit", type=at_least(1), default=0, help="only so many problems")
    pack.add_argument(
        "--skip-bad", action="store_true", help="pass over rows that cannot be packed"
    )
    pack.add_argument("--parquet", action="store_true", help="write Parquet instead of JSON lines")
    pack.add_argument("--json", action="store_true", help="print the card as one JSON document")
    pack.set_defaults(command=_pack)
    unpack = verbs.add_parser("unpack", help="a job's dataset into rows again")
    unpack.add_argument("dataset", type=Path, help="with a column prompt")
    unpack.add_argument(
        "out", type=Path, help="OUT.jsonl, OUT.csv, OUT.parquet, or OUT: a folder for datasets"
    )
    unpack.set_defaults(command=_unpack)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW")
    return old, new


def _pack(options: argparse.Namespace, console: Console) -> int:
    from devkit.data.card import write_card
    from devkit.data.packing import Packing, pack

    how = Packing(
        columns=options.columns,
        rename=dict(options.rename),
        parse=options.parse,
        key=options.key,
        validation=options.validation,
        salt=options.salt,
        limit=options.limit,
        skip_bad=options.skip_bad,
        parquet=options.parquet,
    )
    try:
        packed = pack(
            options.source,
            options.out,
            how,
            split=options.split,
            progress=lambda rows: _say(f"{rows:,} rows read"),
        )
        card = write_card(options.out, packed, how)
    except (OSError, ValueError) as error:
        return wrong(error)
    if options.json:
        sys.stdout.write(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    else:
        _show(card, options.out, console)
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(card: dict[str, Any], out: Path, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    for side in card["splits"].values():
        say(f"{side['rows']:,} rows in {escape(str(out / side['file']))}, {side['bytes']:,} bytes")
    left = {
        "repeats": "repeats",
        "conflicts": "with the key of another",
        "bad": "that cannot be packed",
    }
    left_out = [f"{card[name]:,} {text}" for name, text in left.items() if card[name]]
    say(f"{card['read']:,} rows read; left out: {', '.join(left_out) or 'none'}")
    for line in card["examples"][:5]:
        say(f"  {escape(line)}")
    for warning in card["warnings"]:
        say(f"[yellow]warning[/] {escape(warning)}")
    say(f"What is in it: {escape(str(out / 'card.md'))}")


def _unpack(options: argparse.Namespace, console: Console) -> int:
    from devkit.data.unpacking import unpack

    try:
        count = unpack(options.dataset, options.out)
    except (OSError, ValueError) as error:
        return wrong(error)
    console.print(f"{count:,} rows in {options.out}", highlight=False, soft_wrap=True)
    return 0
