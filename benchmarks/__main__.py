"""``make bench``: every measurement beside the peers, in one run.

Writes the figures to ``benchmarks/results/DATE.json``, and from them the tables of ``docs/speed.md``
and the plots in ``docs/images``. Interleaved rounds; read ratios, for milliseconds do not travel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cold, growth, packages, plots, pool, reports, tables, turns, warm

RESULTS = Path(__file__).resolve().parent / "results"

# What is measured: with few rounds (--quick), and in full.
MEASUREMENTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "cold": (lambda: cold.measure(2), lambda: cold.measure(6)),
    "warm": (lambda: warm.measure(3), lambda: warm.measure(20)),
    "report": (lambda: reports.measure(3), lambda: reports.measure(20)),
    "turns": (lambda: turns.measure(3), lambda: turns.measure(10)),
    "pool": (lambda: pool.measure(200), lambda: pool.measure(1_000)),
    "growth": (lambda: growth.measure(2, 1_000), lambda: growth.measure(5)),
}


def main() -> int:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, to try the measurements")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="measure only these")
    parser.add_argument("--draw", action="store_true", help="tables and plots of the last figures")
    options = parser.parse_args()
    latest = max(RESULTS.glob("*.json"), default=None)
    figures: dict[str, Any] = {}
    if (options.draw or options.only) and latest:
        figures = json.loads(latest.read_text())
    if options.draw and not figures:
        sys.stderr.write("There are no figures yet: run make bench.\n")
        return 2
    if not options.draw:
        latest = measure(figures, options.only or list(MEASUREMENTS), quick=options.quick)
    missing = [name for name in MEASUREMENTS if name not in figures]
    if missing:
        sys.stderr.write(f"No tables and plots yet: {', '.join(missing)} was never measured.\n")
        return 2
    print(tables.write(figures))
    for path in plots.draw(figures):
        print(path.relative_to(packages.ROOT))
    return 0


def measure(figures: dict[str, Any], names: list[str], *, quick: bool) -> Path:
    """Measure what is named, into ``figures`` and a file."""
    packages.prepare()
    command = "make bench" + (" (--quick)" if quick else "")
    figures |= {"date": str(datetime.now(UTC).date()), "command": command, "machine": machine()}
    figures["size"] = {variant.name: variant.size() for variant in packages.VARIANTS}
    for name in names:
        began = time.time()
        few, full = MEASUREMENTS[name]
        figures[name] = (few if quick else full)()
        print(f"{name}: {time.time() - began:.0f} s", file=sys.stderr, flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{figures['date']}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return path


def machine() -> str:
    """What the figures were taken on."""
    known = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.split(":")[1].strip() for x in known if x.startswith("model name")), "")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores ({model or platform.machine()}), {gigabytes:.0f} GB, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


if __name__ == "__main__":
    sys.exit(main())
