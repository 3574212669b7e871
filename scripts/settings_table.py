"""Writes the README's table of settings from their own texts; a test holds it to them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rollout.settings import described

README = Path(__file__).resolve().parent.parent / "README.md"
_HEAD = "| variable | default | meaning |\n|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(\|.*\n)*")


def table() -> str:
    """The table, Markdown."""
    rows = (
        f"| `{name}` | {f'`{default}`' if default else 'none'} | {text} |\n"
        for name, default, text in described()
    )
    return _HEAD + "".join(rows)


def with_table(text: str) -> str:
    """A text with its table of settings written anew."""
    return _TABLE.sub(lambda _: table(), text)


def main() -> int:
    """Write the README."""
    README.write_text(with_table(README.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
