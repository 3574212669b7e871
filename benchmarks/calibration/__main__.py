"""``make calibrate``: hold the verdict's forecast, levels and intervals to simulation.

Writes docs/calibration.md and its picture, unless ``--quick``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.calibration.coverage import (
    DIFFICULTIES,
    ESTIMATES,
    counts_of,
    coverage,
)
from benchmarks.calibration.worlds import World, steps_until, train
from devkit.verdict.job import RATE, Job
from devkit.verdict.learning import forecast
from devkit.verdict.model import Verdict
from devkit.verdict.readiness import verdict_of
from tests.rehearsed import manifest

_ROOT = Path(__file__).resolve().parents[2]
_PAGE, _PICTURE = _ROOT / "docs/calibration.md", _ROOT / "docs/images/calibration.svg"

_SUCCESS = (0.01, 0.02, 0.04, 0.1, 0.3, 0.5, 0.7, 0.9, 0.96, 0.98)
_SIZES = (4, 8, 16, 32)
_STEPS, _BATCH = 200, 32
# Groups of the rehearsal that a forecast is made from, and of the rehearsals that are judged again.
_REHEARSED, _JUDGED, _AGAIN = 400, (20, 60, 200), 40


@dataclass(frozen=True)
class Row:
    """A world and a size of group: what was forecast, and what training made of it."""

    world: World
    size: int
    informative: float
    forecast: float | None
    simulated: float | None
    after: float
    after_forecast: float


def calibrate(world: World, size: int, seed: int = 0) -> Row:
    """Forecast from a rehearsal in groups of eight, and train."""
    dice = np.random.default_rng(seed)
    found = forecast(
        list(map(list, world.rehearse(_REHEARSED, 8, dice))),
        batch_size=_BATCH,
        group_size=size,
        max_steps=50,
        seed=seed,
    )
    if found is None:
        raise AssertionError("a rehearsal has groups")
    course = train(world, steps=_STEPS, batch_size=_BATCH, group_size=size, rate=RATE, seed=seed)
    aim = min(2 * world.success, (1 + world.success) / 2)
    return Row(
        world,
        size,
        found.informative.value or 0.0,
        found.steps.value,
        steps_until(course, aim),
        course[50],
        found.success_after,
    )


def judged(world: World, groups: int, times: int = _AGAIN) -> list[Verdict]:
    """The verdicts on one world, rehearsed many times in groups of eight."""
    found: list[Verdict] = []
    for seed in range(times):
        dice = np.random.default_rng(1_000 * groups + seed)
        counted = counts_of(world.rehearse(groups, 8, dice))
        made = manifest(rows=groups, group_size=8)
        found.append(verdict_of(counted, made, Job(), run=Path("run")))
    return found


def _table(rows: Sequence[Row]) -> str:
    names = ("success", "levels", "group size", "groups that differ", "steps, forecast")
    names += ("steps, trained", "after 50, forecast", "after 50, trained")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [
        f"| {row.world.success:.0%} | {row.world.levels} | {row.size} | {row.informative:.0%} | "
        f"{_number(row.forecast)} | {_number(row.simulated)} | {row.after_forecast:.2f} | "
        f"{row.after:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _number(steps: float | None) -> str:
    return f"over {_STEPS}" if steps is None or steps > _STEPS else f"{steps:.0f}"


def _levels(again: dict[tuple[World, int], list[Verdict]]) -> str:
    lines = ["| success | levels | " + " | ".join(f"{n} groups" for n in _JUDGED) + " |"]
    lines.append("|---|---|" + "---|" * len(_JUDGED))
    for world in dict.fromkeys(world for world, _ in again):
        cells = [_count(again[world, groups]) for groups in _JUDGED]
        lines.append(f"| {world.success:.1%} | {world.levels} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(verdicts: Sequence[Verdict]) -> str:
    counted = Counter(verdict.level for verdict in verdicts)
    return ", ".join(f"{level} {count}" for level, count in counted.most_common())


def _agreement(again: dict[tuple[World, int], list[Verdict]], groups: int) -> float:
    """The mean share of the verdict that is most often given."""
    shares = [
        Counter(v.level for v in verdicts).most_common(1)[0][1] / len(verdicts)
        for (_, played), verdicts in again.items()
        if played == groups
    ]
    return float(np.mean(shares))


def _covered(repeats: int) -> tuple[str, float]:
    lines = [
        "| problems | groups of 8 | " + " | ".join(ESTIMATES) + " |",
        "|---|---|" + "---|" * len(ESTIMATES),
    ]
    lowest = 1.0
    for difficulty in DIFFICULTIES:
        for groups in (5, 20, 100):
            shares = coverage(difficulty, groups, 8, repeats=repeats)
            lowest = min(lowest, *shares.values())
            cells = " | ".join(f"{shares[name]:.1%}" for name in ESTIMATES)
            lines.append(f"| {difficulty.name} | {groups} | {cells} |")
    return "\n".join(lines), lowest


def _picture(rows: Sequence[Row], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "rollout"
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4))
    for size, colour in zip(_SIZES, ("#9ecae1", "#4292c6", "#08519c", "#08306b"), strict=True):
        alike = [row for row in rows if row.size == size and row.world.levels == 1]
        left.plot(
            [row.world.success for row in alike],
            [row.forecast or np.nan for row in alike],
            color=colour,
            label=f"groups of {size}",
        )
        left.plot(
            [row.world.success for row in alike],
            [row.simulated or np.nan for row in alike],
            "o",
            color=colour,
            ms=4,
        )
    left.set(
        xscale="logit", yscale="log", xlabel="success at first", ylabel="steps until it has doubled"
    )
    left.axhline(50, color="#999999", lw=1, ls="--")
    left.set_title("line: forecast, points: trained", fontsize=9)
    left.legend(fontsize=8)
    for levels, mark in ((1, "o"), (3, "^")):
        chosen = [
            row for row in rows if row.world.levels == levels and row.forecast and row.simulated
        ]
        right.plot(
            [row.forecast for row in chosen],
            [row.simulated for row in chosen],
            mark,
            ms=5,
            alpha=0.8,
            label="problems alike" if levels == 1 else "three levels of problems",
        )
    ends = [2, 200]
    right.plot(ends, ends, color="#999999", lw=1)
    for factor in (0.5, 2):
        right.plot(ends, [factor * end for end in ends], color="#cccccc", lw=1, ls=":")
    right.set(xscale="log", yscale="log", xlabel="steps, forecast", ylabel="steps, trained")
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _steps(options: argparse.Namespace) -> tuple[str, bool]:
    """Forecast and training side by side; well where they are within a factor of three."""
    worlds = [World(p, levels) for levels in (1, 3) for p in _SUCCESS if levels == 1 or p <= 0.5]
    rows = [
        calibrate(world, size)
        for world in (worlds[1:4] if options.quick else worlds)
        for size in _SIZES
    ]
    factors = [_factor(row.forecast, row.simulated) for row in rows]
    near = [factor for factor in factors if factor is not None]
    says = (
        f"The forecast was within a factor of {max(near):.1f} of training, of {np.median(near):.2f} in "
        "half of the rows."
    )
    if not options.quick:
        _picture(rows, _PICTURE)
    return f"{says}\n\n{_table(rows)}", max(near) < 3


def _verdicts(options: argparse.Namespace) -> tuple[str, bool]:
    """The levels of many rehearsals; well where none is called not ready that training learns."""
    coins = [World(p) for p in (0.001, 0.005, *_SUCCESS)] + [World(0.1, 3), World(0.3, 3)]
    again = {
        (world, groups): judged(world, groups, 5 if options.quick else _AGAIN)
        for world in (coins[3:6] if options.quick else coins)
        for groups in _JUDGED
    }
    shares = [f"{_agreement(again, n):.0%} of those of {n} groups" for n in _JUDGED]
    says = f"The commonest verdict was given in {', '.join(shares)}."
    wrong = any(
        0.02 <= world.success <= 0.96 and verdict.level == "not ready"
        for (world, _), verdicts in again.items()
        for verdict in verdicts
    )
    return f"{says}\n\n{_levels(again)}", not wrong


def _coverage(options: argparse.Namespace) -> tuple[str, bool]:
    """The coverage of the intervals; well above 92 %, a third of a percent being chance."""
    text, lowest = _covered(20 if options.quick else 300)
    return f"The lowest is {lowest:.1%}.\n\n{text}", options.quick or lowest > 0.92


_PARTS = {"steps": _steps, "levels": _verdicts, "coverage": _coverage}


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate; exit code 1 where a part is not well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats; nothing is written")
    parser.add_argument("--only", choices=list(_PARTS), help="one part (all of them)")
    options = parser.parse_args(arguments)
    well = True
    for name, part in _PARTS.items():
        if options.only in (None, name):
            began = time.monotonic()
            text, fine = part(options)
            well = well and fine
            print(text, f"\n{name}: {time.monotonic() - began:.0f} s", flush=True)
            if not options.quick:
                _PAGE.write_text(_replaced(_PAGE.read_text(), name, text))
    return int(not well)


def _factor(one: float | None, other: float | None) -> float | None:
    return max(one / other, other / one) if one and other else None


def _replaced(page: str, name: str, text: str) -> str:
    """The page with another text between the marks of a name."""
    before, mark, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not mark or not end:
        raise ValueError(f"the page has no place for {name}")
    return f"{before}{mark}{text}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
