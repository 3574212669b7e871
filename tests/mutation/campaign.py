"""Breaks what the promises rest on in every way mutmut knows, and counts what the unit tests miss.

``python -m tests.mutation.campaign`` or ``make mutate``; ``--only run`` for one module, ``--keep`` to
go on with the last campaign's results. Fails under 95 % killed in any module. ``docs/quality.md``
records the last result and says why each survivor is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from rich.console import Console
from rich.table import Table

from tests.building import ROOT

# What the promises rest on, and the files that it is in.
MODULES = {
    "trust": ("trust",),
    "feedback": ("feedback", "aws/feedback"),
    "steps": ("steps", "backoff"),
    "run": ("run", "rewards", "results"),
}
# Their own tests: each mutant runs those of them that reach it.
TESTS = (
    *(
        f"unit/test_{name}.py"
        for name in (
            "trust",
            "feedback",
            "steps",
            "backoff",
            "run",
            "results",
            "rounding",
            "values",
            "agent_errors",
        )
    ),
    # The histories that broke a promise once are where a report's and an attempt's ways are proven.
    "simulation/test_kept.py",
)
# Counts the frames of a traceback, and mutmut's trampolines are frames.
_LEFT_OUT = "test_agent_errors.py::test_the_first_traceback_of_each_kind_is_kept_from_the_agents_own_frames_on"
# What these are built from.
BUILT_FROM = (
    "building.py",
    "running.py",
    "storing.py",
    "conftest.py",
    "unit/conftest.py",
    *(
        f"simulation/{name}.py"
        for name in (
            "agents",
            "durable",
            "entry",
            "history",
            "invariants",
            "services",
            "table",
            "world",
        )
    ),
)
GOAL = 0.95
# A text of three words or more is a sentence; a name has fewer.
_SENTENCE = re.compile(r'"[^" ]+ [^" ]+ [^"]+"')
_PLACE = ROOT / "build" / "mutation"
_LIBRARY = ROOT / "layers/rollout/python/rollout"
# mutmut names a mutant by its file's path and knows no source folder but src/, hence a copy in that
# shape.
_PROJECT = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = [{mutated}]
also_copy = ["tests"]
use_git_change_detection = false

[tool.pytest.ini_options]
pythonpath = ["src", "."]
addopts = "-q -p no:cacheprovider -p no:xdist --deselect=tests/unit/{left_out}"
filterwarnings = ["error"]
"""


@dataclass
class Count:
    """What became of one module's mutants."""

    counts: Counter[str] = field(default_factory=Counter)
    alive: dict[str, str] = field(default_factory=dict)
    worded: int = 0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def killed(self) -> float:
        """The share that a test failed on, or that never ended (timeout); other words are not counted."""
        return (self.counts["killed"] + self.counts["timeout"]) / max(1, self.total - self.worded)


def prepare(modules: tuple[str, ...], *, keep: bool) -> None:
    """Lay out the copy that mutmut works on."""
    if not keep:
        shutil.rmtree(_PLACE, ignore_errors=True)
    for folder in ("src", "tests"):
        shutil.rmtree(_PLACE / folder, ignore_errors=True)
    shutil.copytree(_LIBRARY, _PLACE / "src/rollout", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*BUILT_FROM, *TESTS):
        (_PLACE / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "tests" / name, _PLACE / "tests" / name)
    files = [file for module in modules for file in MODULES[module]]
    mutated = ", ".join(f'"src/rollout/{file}.py"' for file in files)
    (_PLACE / "pyproject.toml").write_text(_PROJECT.format(mutated=mutated, left_out=_LEFT_OUT))


def mutate(processes: int) -> None:
    """Run mutmut in the copy; its progress goes to the terminal."""
    # The library must come from the copy alone.
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [Path(sys.executable).parent / "mutmut", "run", "--max-children", str(processes)]
    subprocess.run(command, cwd=_PLACE, env=environ, check=True)


def count(modules: tuple[str, ...]) -> dict[str, Count]:
    """Read what mutmut has written down, module by module."""
    counted: dict[str, Count] = defaultdict(Count)
    for module in modules:
        for file in MODULES[module]:
            place = _PLACE / f"mutants/src/rollout/{file}.py.meta"
            meta: dict[str, Any] = json.loads(place.read_text())
            for name, code in meta["exit_code_by_key"].items():
                status = status_by_exit_code[code]
                counted[module].counts[status] += 1
                if status in ("killed", "timeout"):
                    continue
                diff = difference(name, file)
                if is_worded(diff):
                    counted[module].worded += 1
                else:
                    counted[module].alive[name] = diff
    return counted


def is_worded(diff: str) -> bool:
    """Whether a mutant says something in other words and does nothing else.

    Tests hold names, slugs and types: one that repeats every sentence would prove nothing of the code.
    """
    removed, added = (
        [
            _SENTENCE.sub("", line[1:])
            for line in diff.splitlines()
            if line.startswith(sign) and not line.startswith(sign * 3)
        ]
        for sign in "-+"
    )
    return removed == added


def difference(name: str, file: str) -> str:
    """A mutant of a file as a diff, under its name."""
    with contextlib.chdir(_PLACE):  # mutmut looks in the folder one stands in
        return f"{name}\n{get_diff_for_mutant(name, path=f'src/rollout/{file}.py')}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=MODULES, help="one module instead of all")
    parser.add_argument("--keep", action="store_true", help="try again only what changed or is new")
    parser.add_argument("--processes", type=int, default=2, help="at once (default: 2)")
    parser.add_argument("--show", action="store_true", help="print each survivor's diff")
    given = parser.parse_args()
    modules = (given.only,) if given.only else tuple(MODULES)
    prepare(modules, keep=given.keep)
    mutate(given.processes)
    counted = count(modules)
    console = Console()
    table = Table("module", "mutants", "killed", "timeout", "other words", "alive", "share")
    for module, found in counted.items():
        counts = (
            found.total,
            found.counts["killed"],
            found.counts["timeout"],
            found.worded,
            len(found.alive),
        )
        table.add_row(module, *map(str, counts), f"{found.killed:.1%}")
    console.print(table)
    for name, diff in (alive for found in counted.values() for alive in found.alive.items()):
        console.print(diff if given.show else name, markup=False, highlight=False)
    short = [module for module, found in counted.items() if found.killed < GOAL]
    if short:
        console.print(f"under {GOAL:.0%} killed: {', '.join(short)}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
