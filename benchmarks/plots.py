"""Draws the figures of one run as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.packages import BARE, OURS, ROOT

IMAGES = ROOT / "docs" / "images"
# Mid tones: enough contrast on white and on black.
_INK, _OURS, _OTHERS = "#7d8590", "#d9730d", "#6b8fb5"
Figures = dict[str, Any]


def draw(figures: Figures) -> list[Path]:
    """Write every plot; returns the files."""
    mpl.use("svg")
    style = {
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
        "svg.hashsalt": "speed",
        "savefig.transparent": True,
    }
    with mpl.rc_context(style):
        return [
            _save("speed-first", _first(figures["cold"])),
            _save("speed-warm", _warm(figures["warm"])),
            _save("speed-work", _work(figures)),
            _save("speed-room", _room(figures)),
            _save("speed-pool", _pool(figures["pool"])),
            _save("growth-turns", _turns(figures["growth"]["turns"])),
            _save("growth-instance", _instance(figures["growth"]["instance"])),
            _save("growth-rollouts", _rollouts(figures["growth"]["rollouts"])),
        ]


def _save(name: str, figure: Figure) -> Path:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return path


def _panels(count: int, rows: int) -> tuple[Figure, list[Axes]]:
    width = 4.6 if count > 1 else 7
    figure, found = plt.subplots(
        1, count, figsize=(width * count, 0.42 * rows + 1.1), sharey=True, squeeze=False
    )
    return figure, list(found[0])


def _bars(axes: Axes, title: str, values: dict[str, float], form: str) -> None:
    names = list(values)
    colors = [_OURS if name.startswith(OURS.name) else _OTHERS for name in names]
    bars = axes.barh(names, list(values.values()), color=colors, height=0.62)
    axes.bar_label(bars, [form.format(value) for value in values.values()], padding=4, color=_INK)
    axes.set_title(title, fontsize=11)
    axes.margins(x=0.2)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if not axes.yaxis_inverted():
        axes.invert_yaxis()


def _ratios(known: dict[str, Any]) -> dict[str, float]:
    base = known[BARE.name]["median"]
    return {name: found["median"] / base for name, found in known.items()}


def _first(cold: Figures) -> Figure:
    figure, (left, right) = _panels(2, len(cold["rollout"]))
    rollout = _ratios(cold["rollout"])
    # The variant without records has no /health of its own.
    health = {name: _ratios(cold["health"])[name] for name in rollout if "records off" not in name}
    _bars(right, "first /rollout, x bare handler", rollout, "{:.2f}")
    _bars(left, "first /health, x bare handler", health, "{:.2f}")
    return figure


def _warm(warm: Figures) -> Figure:
    figure, (left, right) = _panels(2, len(warm["1 KB"]))
    small = {name: known["median"] * 1e6 for name, known in warm["1 KB"].items()}
    _bars(left, "warm invocation, 1 KB, microseconds", small, "{:.0f}")
    _bars(right, "warm invocation, 1 MB, x bare pydantic", _ratios(warm["1 MB"]), "{:.2f}")
    return figure


def _work(figures: Figures) -> Figure:
    turns = figures["turns"]["processor"]
    figure, (left, right) = _panels(2, len(turns))
    turn = {name: known["median"] * 1e3 for name, known in turns.items()}
    report = {name: known["median"] * 1e3 for name, known in figures["report"].items()}
    _bars(right, "a further turn, milliseconds of processor", turn, "{:.2f}")
    _bars(left, "completion and reward report, milliseconds", report, "{:.1f}")
    return figure


def _room(figures: Figures) -> Figure:
    size = {name: bytes_ / 1e6 for name, bytes_ in figures["size"].items()}
    resident = figures["cold"]["resident"]
    figure, (left, right) = _panels(2, len(size))
    _bars(left, "unzipped, MB", size, "{:.0f}")
    megabytes = {name: resident[name]["median"] / 1e6 for name in size}
    _bars(right, "resident after a first rollout, MB", megabytes, "{:.0f}")
    return figure


def _pool(pool: Figures) -> Figure:
    figure, (left, right) = _panels(2, len(pool))
    rollouts = next(iter(pool.values()))["rollouts"]
    _bars(
        left,
        f"{rollouts:,} at once: processor each, ms",
        {name: known["processor"] * 1e3 for name, known in pool.items()},
        "{:.1f}",
    )
    _bars(
        right,
        "resident at most, MB",
        {name: known["resident"] / 1e6 for name, known in pool.items()},
        "{:.0f}",
    )
    return figure


def _curves(count: int) -> tuple[Figure, list[Axes]]:
    figure, found = plt.subplots(1, count, figsize=(4.6 * count, 3), squeeze=False)
    figure.subplots_adjust(wspace=0.3)
    return figure, list(found[0])


def _curve(
    axes: Axes,
    points: dict[str, Any],
    scale: float,
    *,
    color: str = _OURS,
    line: str = "-",
    name: str = "",
) -> None:
    values = [point.get("median", point.get("bytes")) * scale for point in points.values()]
    units = [int(unit) for unit in points]
    axes.plot(units, values, line, color=color, marker="o", ms=4, label=name)


def _finish(axes: Axes, title: str, across: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xscale("log")
    axes.set_xlabel(across)
    highest = max(float(value) for line in axes.lines for value in line.get_ydata())
    axes.set_ylim(0, highest * 1.25)
    axes.grid(axis="y", color=_INK, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="lower right")


def _turns(curves: Figures) -> Figure:
    figure, (left, right) = _curves(2)
    for kind, line in (("apart", "--"), ("growing", "-")):
        ours, bare = (curves[f"{name}, {kind}"] for name in (OURS.name, BARE.name))
        _curve(left, ours, 1e3, line=line, name=f"{OURS.name}, {kind}")
        _curve(left, bare, 1e3, line=line, color=_OTHERS, name=f"bare boto3, {kind}")
        _curve(right, curves[f"memory, {kind}"], 1e-3, line=line, name=kind)
    _finish(left, "processor per further turn, ms", "turns of a rollout")
    _finish(right, "memory per further turn, KB", "turns of a rollout")
    return figure


def _instance(curves: Figures) -> Figure:
    figure, (left, right) = _curves(2)
    _curve(left, curves["processor"], 1e6)
    _curve(right, curves["memory"], 1e-3)
    _finish(left, "processor per KB of instance, us", "bytes")
    _finish(right, "memory per KB of instance, KB", "bytes")
    return figure


def _rollouts(curves: Figures) -> Figure:
    figure, (left, right) = _curves(2)
    _curve(left, curves["processor"], 1e3)
    _curve(right, curves["resident"], 1e-6)
    _finish(left, "processor per rollout, ms", "rollouts of one process")
    _finish(right, "resident in all, MB", "rollouts of one process")
    return figure
