"""How far a rehearsal is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from devkit.rehearsal.run_files import RolloutRecord

_EVERY = 10.0


class ProgressDisplay:
    """Tells the rollouts done, their rate, the time left, and the mean reward so far.

    Args:
        total: rollouts of the whole run.
        done: of which had ended before.
    """

    def __init__(self, console: Console, total: int, done: int = 0) -> None:
        self._console = console
        self._total, self._before = total, done
        self.ended = self.failed = 0
        self._rewards = 0.0
        self._began = self._printed = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("rollouts"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def rate(self) -> float:
        """Rollouts per second."""
        return self.ended / max(time.monotonic() - self._began, 1e-9)

    def add(self, record: RolloutRecord) -> None:
        """One rollout has ended."""
        self.ended += 1
        if record.reward is None:
            self.failed += 1
        else:
            self._rewards += record.reward
        if self._bar:
            self._bar.update(self._task, advance=1, description=self._figures())
        elif time.monotonic() - self._printed >= _EVERY:
            self._printed = time.monotonic()
            done = self._before + self.ended
            left = (self._total - done) / self.rate
            self._console.print(
                f"{done} of {self._total} rollouts, {self._figures()}, {left:.0f} s left",
                highlight=False,
            )

    def _figures(self) -> str:
        scored = self.ended - self.failed
        mean = f", mean reward {self._rewards / scored:.3f}" if scored else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.rate:.1f}/s{mean}{failed}"
