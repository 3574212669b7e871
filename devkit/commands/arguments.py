"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from devkit.places import default_agent


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add what says who is played with which rows."""
    parser.add_argument("dataset", type=Path, help="JSON lines, as a job reads them")
    parser.add_argument(
        "--instances",
        action="store_true",
        help="rows without a column prompt are instances themselves; a job could not send them",
    )
    parser.add_argument("--agent", default=default_agent(), help="module:function")
    parser.add_argument("--limit", type=at_least(1), default=0, help="only the first rows")
    parser.add_argument(
        "--sample", type=at_least(1), default=0, help="only so many, drawn by --seed"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sample, scripts, faults (0)")
    parser.add_argument("--concurrency", type=at_least(1, 64), default=16, help="in flight (16)")


def at_least(low: int, high: int = 10**9) -> Any:
    """An argument's type: a whole number from ``low`` to ``high``."""

    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}, not {value}")
        return value

    return number


def seconds(text: str) -> float:
    """An argument's type: seconds, from nought to a day."""
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be from 0 to 86400 seconds, not {text}")
    return value


def positive(text: str) -> float:
    """An argument's type: a number above nought."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value
