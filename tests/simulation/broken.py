"""The library broken on purpose: each breaks one promise, and the simulation has to find it.

A variant replaces one name of the library while a history is played; what it stands for is its docstring.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rollout import episode, feedback, results, run
from rollout.aws import durable_steps, job_runtime
from rollout.aws import feedback as reports
from rollout.errors import ReportRefused
from rollout.service import close_abandoned, play_inline, sweep
from rollout.storage.record import Lease

Variant = Callable[[], list[tuple[Any, str, Any]]]
_COUNT = itertools.count()


def turns_at_least_once() -> list[tuple[Any, str, Any]]:
    """A turn is sampled again where the process died in it."""
    return [(durable_steps, "_at_most_once", durable_steps._at_least_once)]


def samples_are_repeated() -> list[tuple[Any, str, Any]]:
    """A Sample whose answer was lost is sent again."""
    known = job_runtime._of_job

    def of_job(error: Exception) -> Any:
        failed = known(error)
        if getattr(failed, "captured", "") == "unknown":
            failed.captured, failed.retry_after = "no", 0
        return failed

    return [(job_runtime, "_of_job", of_job)]


def random_tokens() -> list[tuple[Any, str, Any]]:
    """Each report has a token of its own."""

    def token(*words: Any) -> str:
        return f"{feedback.client_token(*words)[:40]}-{next(_COUNT)}"

    return [(reports, "client_token", token)]


def no_fencing() -> list[tuple[Any, str, Any]]:
    """A process that was taken from goes on writing its row."""

    def change(self: Lease, sets: Any, *, state: str, removes: tuple[str, ...] = ()) -> bool:
        del state
        unfenced = {"trajectory_id": self.rollout.destination.trajectory_id}
        return (
            self.table.change(self.pk, "rollout", sets, removes=removes, only_if=unfenced) is None
        )

    return [(Lease, "_change", change)]


def captured_assumed_no() -> list[tuple[Any, str, Any]]:
    """Only turns that were read count as captured."""

    def captured(self: episode.Episode) -> tuple[int, int]:
        return self.turns, 0

    return [(episode.Episode, "captured", captured)]


def nothing_recorded() -> list[tuple[Any, str, Any]]:
    """The reward is reported and recorded afterwards only: a process that dies has lost it."""

    def scored(self: Lease, result: Any) -> None:
        del self, result

    return [(Lease, "scored", scored)]


def refusals_are_final() -> list[tuple[Any, str, Any]]:
    """Any no of the trainer's ends the report."""
    return [(ReportRefused, "may_be_lag", False)]


def no_sweep() -> list[tuple[Any, str, Any]]:
    """Nobody finishes what was left lying."""
    return [(sweep, "sweep", lambda *_: {})]


def a_202_too_soon() -> list[tuple[Any, str, Any]]:
    """A start that nobody knows of is answered as if it had happened."""
    from rollout.service import start_durable

    return [(start_durable, "start", lambda *_: "")]


def one_episode_for_all() -> list[tuple[Any, str, Any]]:
    """The instance of the first rollout of a process is used for every other."""
    known = play_inline.run
    first: list[Any] = []

    def run(rollout: Any, **rest: Any) -> Any:
        first.append(rollout)
        object.__setattr__(rollout.request, "instance", first[0].request.instance)
        return known(rollout, **rest)

    return [(play_inline, "run", run)]


def pending_counts_as_delivered() -> list[tuple[Any, str, Any]]:
    """A report that did not get through is recorded as if it had."""
    known = run._report

    def tell(*words: Any) -> Any:
        return replace(known(*words), delivery="delivered")

    return [(run, "_report", tell)]


def the_dead_score_nought() -> list[tuple[Any, str, Any]]:
    """A rollout whose process died is completed with a reward of nought."""

    def abandoned(*words: Any, **rest: Any) -> Any:
        return replace(results.abandoned(*words, **rest), status="ready", rewards=[0.0])

    return [(place, "abandoned", abandoned) for place in (run, close_abandoned)]


def odd_answers_raise() -> list[tuple[Any, str, Any]]:
    """An answer that botocore's parser does not expect raises out of the report."""

    def undelivered(operation: str, error: Exception, **_: Any) -> Exception:
        del operation
        return error

    return [(reports, "_undelivered", undelivered)]


# Which promise each breaks, and within how many histories that is found.
VARIANTS: dict[Variant, tuple[str, int]] = {
    turns_at_least_once: ("turn-twice", 100),
    samples_are_repeated: ("turn-twice", 100),
    random_tokens: ("conflict", 50),
    no_fencing: ("terminal", 600),
    captured_assumed_no: ("captured", 100),
    nothing_recorded: ("terminal", 100),
    refusals_are_final: ("reward-lost", 100),
    no_sweep: ("terminal", 100),
    a_202_too_soon: ("202", 50),
    one_episode_for_all: ("crossed", 100),
    pending_counts_as_delivered: ("row", 100),
    the_dead_score_nought: ("false-reward", 100),
    odd_answers_raise: ("crashed", 100),
}


@contextmanager
def broken(variant: Variant) -> Iterator[None]:
    """While this lasts, the library is broken in one way."""
    restore: list[tuple[Any, str, Any]] = []
    try:
        for place, name, value in variant():
            restore.append((place, name, vars(place)[name]))
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in reversed(restore):
            setattr(place, name, value)
