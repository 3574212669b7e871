"""The tables of docs/speed.md, from the figures of one run: what was wanted, and everything measured."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from benchmarks.packages import BARE, FASTAPI, OURS, ROOT, SDK, UNRECORDED

_PAGE = ROOT / "docs" / "speed.md"
Figures = dict[str, Any]


def write(figures: Figures) -> str:
    """Put the tables between the page's markers; returns them."""
    block = "\n".join(_lines(figures))
    text = _PAGE.read_text()
    pattern = re.compile(r"(<!-- figures -->)\n.*(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{_PAGE} has lost its markers.")
    _PAGE.write_text(pattern.sub(lambda found: f"{found[1]}\n{block}\n{found[2]}", text))
    return block


def _lines(figures: Figures) -> Iterable[str]:
    yield f"{figures['date']}, `{figures['command']}`. {figures['machine']}."
    yield "\n### What was wanted\n"
    yield from _table(("wanted", "measured", ""), wanted(figures))
    yield "\n### First invocation under the emulator, memory after it, package\n"
    yield from _cold(figures)
    yield "\n### One warm invocation: parse, validate, answer\n"
    yield from _warm(figures["warm"])
    yield "\n### Completion and reward report, and a turn\n"
    yield from _work(figures)
    yield f"\n### {next(iter(figures['pool'].values()))['rollouts']:,} rollouts at once\n"
    yield from _pool(figures["pool"])
    yield "\n### Growth\n"
    yield from _growth(figures["growth"])


def _median(known: dict[str, Any], name: str) -> float:
    return known[name]["median"]


def wanted(figures: Figures) -> list[tuple[str, str, str]]:
    """Each goal, its figure, and whether it is met."""
    rows: list[tuple[str, str, str]] = []

    def most(goal: str, value: float, limit: float, unit: str = "x") -> None:
        rows.append((goal, f"{value:,.2f} {unit}", "met" if value <= limit else "**missed**"))

    def least(goal: str, value: float, limit: float) -> None:
        rows.append((goal, f"{value:,.2f} x", "met" if value >= limit else "**missed**"))

    health, rollout = figures["cold"]["health"], figures["cold"]["rollout"]
    bare = _median(health, BARE.name)
    most("first `/health`, at most 4 x the bare handler", _median(health, OURS.name) / bare, 4)
    most(
        "first `/rollout` with its clients, at most 6 x the bare handler's `/health`",
        _median(rollout, OURS.name) / bare,
        6,
    )
    for peer, times, name in ((FASTAPI, 1.6, "FastAPI + Mangum"), (SDK, 5, "the reference SDK")):
        text = f"at least {times} x faster than {name}"
        faster = _median(health, peer.name) / _median(health, OURS.name)
        least(f"first `/health`, {text}", faster, times)
        faster = _median(rollout, peer.name) / _median(rollout, UNRECORDED.name)
        least(f"first `/rollout`, {text}: the same job (records off)", faster, times)
        faster = _median(rollout, peer.name) / _median(rollout, OURS.name)
        least(f"the same, ours with its records in DynamoDB and S3: {text}", faster, times)
    small, large = figures["warm"]["1 KB"], figures["warm"]["1 MB"]
    over = (_median(small, OURS.name) - _median(small, BARE.name)) * 1e6
    most("warm at 1 KB, at most 30 us over bare pydantic", over, 30, "us")
    ratio = _median(large, OURS.name) / _median(large, BARE.name)
    most("warm at 1 MB, at most 1.1 x bare pydantic", ratio, 1.1)
    report = figures["report"]
    least(
        "completion and reward report, at least 10 x faster than the reference SDK",
        _median(report, SDK.name) / _median(report, OURS.name),
        10,
    )
    most("package, at most 25 MB unzipped", figures["size"][OURS.name] / 1e6, 25, "MB")
    return rows


def _cold(figures: Figures) -> Iterable[str]:
    cold, size = figures["cold"], figures["size"]
    rows: list[tuple[str, ...]] = []
    for name in cold["rollout"]:
        cells = [name]
        for path in ("health", "rollout"):
            if path == "health" and name == UNRECORDED.name:
                cells.append("")
                continue
            ratio = _median(cold[path], name) / _median(cold[path], BARE.name)
            processor = _median(cold[f"{path} processor"], name) * 1e3
            cells.append(f"{_spread(cold[path][name])} ({ratio:.2f} x); {processor:.0f}")
        cells.append(f"{_median(cold['resident'], name) / 1e6:.0f} MB")
        cells.append(f"{size[name] / 1e6:.1f} MB" if name in size else "")
        rows.append(tuple(cells))
    names = ("", "`/health`, ms; processor", "`/rollout`, ms; processor", "resident", "unzipped")
    return _table(names, rows)


def _warm(warm: Figures) -> Iterable[str]:
    rows: list[tuple[str, ...]] = []
    for name in next(iter(warm.values())):
        cells = [name]
        for known in warm.values():
            base = _median(known, BARE.name)
            value = _median(known, name)
            cells.append(f"{value * 1e6:,.0f} us ({value / base:.2f} x)")
        rows.append(tuple(cells))
    return _table(("", *warm), rows)


def _work(figures: Figures) -> Iterable[str]:
    report, turns = figures["report"], figures["turns"]
    rows = [
        (
            name,
            _spread(report[name]) if name in report else "",
            *(_spread(turns[key][name]) for key in ("turn", "processor", "whole")),
        )
        for name in turns["turn"]
    ]
    names = ("milliseconds", "report", "a turn", "of it processor", "a rollout of one turn")
    return _table(names, rows)


def _pool(pool: Figures) -> Iterable[str]:
    rows = [
        (
            name,
            f"{known['per_second']:.0f}",
            f"{known['processor'] * 1e3:.1f} ms",
            f"{known['p50']:.2f} s",
            f"{known['p99']:.2f} s",
            f"{known['resident'] / 1e6:.0f} MB",
            f"{known['per_rollout'] / 1e3:.0f} KB",
        )
        for name, known in pool.items()
    ]
    names = (
        "",
        "rollouts/s",
        "processor each",
        "overhead p50",
        "p99",
        "resident",
        "each in flight",
    )
    return _table(names, rows)


def _growth(growth: Figures) -> Iterable[str]:
    for title, curves in growth.items():
        units = list(next(iter(curves.values())))
        rows = [
            (
                name,
                *(
                    f"{point['median'] * 1e6:,.0f} us"
                    if "median" in point
                    else f"{point['bytes'] / 1e6:,.1f} MB"
                    if name == "resident"
                    else f"{point['bytes'] / 1e3:,.1f} KB"
                    for point in points.values()
                ),
            )
            for name, points in curves.items()
        ]
        yield from _table((_UNITS[title], *(f"{int(unit):,}" for unit in units)), rows)
        yield ""


_UNITS = {
    "turns": "of a further turn, in a rollout of so many turns",
    "instance": "of a KB of instance, of so many bytes",
    "rollouts": "of a rollout (resident: in all), after so many rollouts",
}


def _spread(known: dict[str, float]) -> str:
    low, middle, high = (known[key] * 1e3 for key in ("low", "median", "high"))
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} [{low:,.{digits}f} to {high:,.{digits}f}]"


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield f"| {' | '.join(row)} |"
