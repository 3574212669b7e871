"""Two small plots of a sweep, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``scale-use.svg`` and ``scale-time.svg``.

    Args:
        folder: made if it is missing.
        rows: as the command prints them with ``--json``, one a concurrency.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "rollout", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    at = [row["concurrency"] for row in rows]
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    # Some limits are met alike; dashes and markers keep their lines apart.
    for number, name in enumerate(rows[0]["use"]):
        peaks = [100 * row["use"][name]["peak"] for row in rows]
        style = {"linestyle": ("-", "--", ":")[number % 3], "marker": "os^Dv<>P"[number]}
        axes.plot(at, peaks, markersize=4, label=name, **style)
    axes.axhline(100, color="black", linewidth=0.8)
    axes.set(xlabel="rollouts at once", ylabel="peak demand, % of the limit")
    _logarithmic(axes, at)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, folder / "scale-use.svg")
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot(at, [row["seconds"] / 60 for row in rows], marker="o", label="simulated")
    paper = [row["seconds_on_paper"] / 60 for row in rows]
    axes.plot(at, paper, linestyle="--", label="Little's law")
    axes.set(xlabel="rollouts at once", ylabel="minutes a step")
    _logarithmic(axes, at)
    axes.legend(fontsize=8)
    _save(figure, folder / "scale-time.svg")


def _logarithmic(axes: Any, at: Sequence[int]) -> None:
    """Logarithmic axes with plain numbers, the played concurrencies below."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set(xscale="log", yscale="log")
    axes.set_xticks(at, [f"{concurrency:,}" for concurrency in at])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # Between the powers of ten only 2 and 5 are named.
    between = FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    axes.yaxis.set_minor_formatter(between)
    axes.grid(visible=True, linewidth=0.3)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
