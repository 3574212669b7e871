"""Writes the reference of what an author imports, as HTML: ``python -m scripts.reference FOLDER``.

By pdoc, from the docstrings. ``make reference`` writes it into ``build/reference``, which git ignores.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pdoc
from pdoc import render

# What the pages tell an author to import; adapters have a page each.
MODULES = (
    "rollout",
    "rollout.errors",
    "rollout.tools",
    "rollout.testing",
    "rollout.judge",
    "rollout.aws.judges",
    "rollout.aws.secrets_manager",
)


def main(folder: str) -> int:
    """Write the pages into a folder."""
    # What a module hands out on demand is put where pdoc looks for it.
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            setattr(module, public, getattr(module, public))
    # A package brings its modules; these are left out again.
    others = f"!(?!({'|'.join(map(re.escape, MODULES))})$)"
    render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*MODULES, others, output_directory=Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
