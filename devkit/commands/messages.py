"""What several commands say: why nothing is played, and what went wrong most often."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from devkit.raised import Raised
from rollout.errors import AgentUnavailable

# Kinds of exception whose traceback is shown.
_TRACED = 3


def refuse(console: Console, error: Exception) -> int:
    """Say why a command cannot be carried out; exit code 2."""
    said = error.detail if isinstance(error, AgentUnavailable) else str(error)
    console.print("[red]Cannot play:[/red]", end=" ")
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    if error.__cause__ is not None:
        show_traceback("".join(traceback.format_exception(error.__cause__)), console)
    return 2


def show_raised(raised: Raised, console: Console, who: str = "The agent") -> None:
    """Show an author what their agent or policy raised, with the traceback of each kind."""
    complain(f"{who} raised", raised, console)
    for said, _ in raised.most_common(_TRACED):
        show_traceback(raised.tracebacks[said], console)


def show_traceback(text: str, console: Console) -> None:
    """Print a traceback as Python writes it."""
    console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


def complain(who: str, said: Mapping[str, int], console: Console) -> None:
    """Say what went wrong most often, in its own words: a user finds it in no log."""
    for words, count in sorted(said.items(), key=lambda item: -item[1])[:5]:
        console.print(f"[yellow]{who}:[/yellow]", end=" ")
        console.print(f"{count} x {words}", markup=False, highlight=False, soft_wrap=True)


def wrong(error: Exception) -> int:
    """Say on stderr why a command failed; exit code 2."""
    Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    return 2
