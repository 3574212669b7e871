"""Writes the datasets under ``environments``: JSONL with a ``prompt`` column, as a job reads them.

The platform passes ``prompt`` verbatim, so a row packs its instance into that string as JSON. An
environment's ``problems.py`` generates them, always the same; the calculator's word problems were
written by hand and have none.
"""

from __future__ import annotations

import json

from devkit.places import dataset_of
from environments.sql import problems as sql
from environments.support_desk import problems as support_desk
from environments.wordle import problems as wordle

# The environments that come with the project.
NAMES = ("calculator", "wordle", "sql", "support_desk")
AGENTS = {name: f"environments.{name}:{name}" for name in NAMES}
GENERATED = {"wordle": wordle, "sql": sql, "support_desk": support_desk}


def main() -> None:
    """Write every dataset that is generated."""
    for name, problems in GENERATED.items():
        rows = [json.dumps({"prompt": json.dumps(each)}) for each in problems.instances()]
        dataset_of(AGENTS[name]).write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
