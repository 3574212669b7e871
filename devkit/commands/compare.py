"""``rollout compare``: what moved from one run to another, how sure that is, and what differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.messages import wrong


def register(commands: Any) -> None:
    """Add ``compare`` to the command line."""
    compare = commands.add_parser(
        "compare", help="compare two rehearsals problem by problem: what moved, and why it may have"
    )
    compare.add_argument("before", type=Path, help="a run's directory")
    compare.add_argument("after", type=Path, help="another's")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON")
    compare.add_argument("--html", type=Path, help="the page (default AFTER/comparison.html)")
    compare.add_argument("--pass-at", type=float, default=1.0, help="reward that passes (1.0)")
    compare.add_argument("--strict", action="store_true", help="exit 1 if the reward fell for sure")
    compare.set_defaults(command=_compare)


def _compare(options: argparse.Namespace, console: Console) -> int:
    from devkit.verdict.comparison import compare
    from devkit.verdict.comparison_page import show_comparison, write_comparison

    path = options.html or options.after / "comparison.html"
    try:
        found = compare(options.before, options.after, pass_at=options.pass_at)
        write_comparison(found, path)
    except (OSError, ValueError) as error:
        return wrong(error)
    if options.json:
        sys.stdout.write(found.model_dump_json(by_alias=True, indent=2) + "\n")
    else:
        show_comparison(found, console)
        console.print(f"\nPage: {path}", highlight=False, soft_wrap=True)
    return int(options.strict and found.verdict == "worse")
