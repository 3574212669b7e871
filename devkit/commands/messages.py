"""What several commands say: why nothing is played, and what went wrong most often."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from rollout.errors import AgentUnavailable


def refuse(console: Console, error: Exception) -> int:
    """Say why a command cannot be carried out; exit code 2."""
    said = error.detail if isinstance(error, AgentUnavailable) else str(error)
    console.print("[red]Cannot play:[/red]", end=" ")
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return 2


def complain(who: str, said: Mapping[str, int], console: Console) -> None:
    """Say what went wrong most often, in its own words: a user finds it in no log."""
    for words, count in sorted(said.items(), key=lambda item: -item[1])[:5]:
        console.print(f"[yellow]{who}:[/yellow]", end=" ")
        console.print(f"{count} x {words}", markup=False, highlight=False, soft_wrap=True)


def wrong(error: Exception) -> int:
    """Say on stderr why a command failed; exit code 2."""
    Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    return 2
