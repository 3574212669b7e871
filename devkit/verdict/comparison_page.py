"""A comparison for people: a table on the terminal, and one HTML file that loads nothing."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devkit.verdict.comparison import Comparison, Difference
from devkit.verdict.templates import template

_SIDE, _EDGE = 320, 34
_COLOUR = {"better": "green", "worse": "red"}


def show_comparison(found: Comparison, console: Console) -> None:
    """Print what moved and what differs."""
    colour = _COLOUR.get(found.verdict, "cyan")
    console.print(
        f"\n[bold {colour}]{found.verdict.upper()}[/]  {escape(found.before)} -> {escape(found.after)}",
        highlight=False,
        soft_wrap=True,
    )
    if found.only_before or found.only_after:
        console.print(
            f"Left out: {found.only_before} problems of the first run alone, {found.only_after} of the "
            "second.",
            highlight=False,
        )
    table = Table("per problem", "before", "after", "change", "95 %", "p", title="what moved")
    for each in found.differences:
        if each.before or each.after:
            mark = "bold" if each.sure else "dim"
            table.add_row(*(f"[{mark}]{cell}[/]" for cell in cells(each)))
    console.print(table)
    if found.settings:
        console.print("\nwhat differs between the runs", highlight=False)
        for setting in found.settings:
            console.print(
                f"  {setting.name}: {setting.before} -> {setting.after}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    else:
        console.print(
            "\nNothing that was recorded differs between the runs: what moved is chance, or"
        )
        console.print("something outside of agent, packages, rows, policy and settings.")
    for move in found.moves[:8]:
        console.print(
            f"  {move.before:.3g} -> {move.after:.3g}  {move.problem}",
            markup=False,
            highlight=False,
        )


def cells(each: Difference) -> tuple[str, ...]:
    """A difference as the cells of a table."""
    bounds = "" if each.low is None or each.high is None else f"{each.low:+.3g} to {each.high:+.3g}"
    chance = "< 0.001" if each.p < 0.001 else f"{each.p:.3f}"
    return (
        each.name,
        f"{each.before:.3g}",
        f"{each.after:.3g}",
        f"{each.change:+.3g}",
        bounds,
        chance,
    )


def write_comparison(found: Comparison, path: Path) -> None:
    """Write the page: the table, a picture of each problem before and after, and what differs."""
    ends = [value for point in found.points for value in point]
    low, high = min([0.0, *ends]), max([1.0, *ends])

    def place(value: float) -> float:
        return (value - low) / (high - low) * (_SIDE - 2 * _EDGE)

    points = [
        (round(_EDGE + place(before), 1), round(_SIDE - _EDGE - place(after), 1), before, after)
        for before, after in found.points
    ]
    text = template("comparison.html").render(
        found=found,
        rows=[(cells(each), each.sure) for each in found.differences if each.before or each.after],
        points=points,
        side=_SIDE,
        edge=_EDGE,
        low=low,
        high=high,
    )
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
