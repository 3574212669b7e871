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
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in rows[0]["use"]:
        axes.plot(at, [100 * row["use"][name]["peak"] for row in rows], marker=".", label=name)
    axes.axhline(100, color="black", linewidth=0.8, linestyle="--")
    axes.set(
        xscale="log", yscale="log", xlabel="rollouts at once", ylabel="peak demand, % of limit"
    )
    axes.legend(fontsize=7)
    _save(figure, folder / "scale-use.svg")
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.plot(at, [row["seconds"] / 60 for row in rows], marker="o", label="simulated")
    paper = [row["seconds_on_paper"] / 60 for row in rows]
    axes.plot(at, paper, linestyle="--", label="Little's law")
    axes.set(xscale="log", yscale="log", xlabel="rollouts at once", ylabel="minutes a step")
    axes.legend(fontsize=8)
    _save(figure, folder / "scale-time.svg")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
