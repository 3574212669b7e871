"""Play many histories: ``python -m tests.simulation --n 1000000 --seed 7``, or ``make simulate``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.campaign import Found, described, histories, shrink


def main() -> int:
    """Run from the command line; the exit code is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="how many histories")
    parser.add_argument("--seed", type=int, default=1, help="the first history's; the rest follow")
    parser.add_argument("--replay", type=int, help="play one history again, shrunk, and tell it")
    parser.add_argument("--stop", type=int, default=20, help="stop after so many failing histories")
    options = parser.parse_args()
    console = Console()
    if options.replay is not None:
        found, world = shrink(options.replay)
        console.print("\n".join(described(found, world)), highlight=False, markup=False)
        return bool(found.violations)
    failing: list[Found] = []
    began, computing = time.monotonic(), time.process_time()
    kinds: Counter[str] = Counter()
    columns = TextColumn("histories"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        task = bar.add_task("", total=options.n)
        played = 0
        for found in histories(options.seed, options.n):
            played += 1
            if played % 200 == 0:
                bar.update(task, completed=played)
            if played % 20_000 == 0 and not console.is_terminal:
                console.print(
                    f"{played} of {options.n}, {len(failing)} broke a promise", highlight=False
                )
            if found.violations:
                failing.append(found)
                invariant, name, detail = found.violations[0]
                console.print(
                    f"  seed {found.seed}: {invariant}: {name}: {detail}",
                    highlight=False,
                    markup=False,
                )
                kinds.update({invariant for invariant, _, _ in found.violations})
                if len(failing) >= options.stop:
                    break
        bar.update(task, completed=played)
    seconds, computing = time.monotonic() - began, time.process_time() - computing
    console.print(
        f"{played} histories in {seconds:.1f} s ({played / seconds:.0f} a second; "
        f"{played / computing:.0f} a second of one processor), seeds {options.seed} to "
        f"{options.seed + played - 1}: {len(failing)} broke a promise",
        highlight=False,
    )
    if failing:
        console.print(f"  {dict(kinds)}; --replay SEED tells one, shrunk", highlight=False)
    return bool(failing)


if __name__ == "__main__":
    sys.exit(main())
