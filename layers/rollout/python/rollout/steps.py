"""How a side effect is made once.

``run`` plays a rollout through this seam and does not know whether it runs inside a request or as a
durable execution. Inline, an effect is simply made; the durable implementation
(``rollout.aws.durable_steps``) records each one and hands the recorded
value back when the rollout replays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from rollout.backoff import Backoff
from rollout.errors import ReportUndelivered
from rollout.results import Result

_PAUSES = Backoff(first=0.2, longest=2.0)


class Sampled(NamedTuple):
    """A turn's reply and how long the policy took, in seconds."""

    data: bytes
    seconds: float


class Steps(Protocol):
    """The side effects of one rollout.

    ``tries`` counts how often each report was sent, by its name.
    """

    tries: dict[str, int]

    def play(self, body: Callable[[], Result]) -> Result:
        """Run the agent's part once and return its result.

        Every ``turn`` and ``step`` happens inside ``body``.

        Raises:
            Abandoned: an earlier attempt died, and the agent cannot replay.
        """
        ...

    def replaying(self) -> bool:
        """Whether what comes next has happened before and is only told again."""
        ...

    def turn(self, index: int, request: bytes, sample: Callable[[], bytes]) -> Sampled:
        """Sample turn ``index`` (from 0) at most once.

        Args:
            index: the turn's number.
            request: the request's bytes, by which a replay that went another way is found out.
            sample: sends the request.

        Raises:
            ReplayMismatch: the recorded turn was made by another request.
            SampleInterrupted: an earlier attempt died before its reply was recorded.
            SampleFailed: from ``sample``.
        """
        ...

    def step(self, name: str, effect: Callable[[], Any], *, idempotent: bool) -> Any:
        """Make a side effect of the agent's and return its value, which must be JSON.

        Args:
            name: tells the step apart in the execution's history.
            effect: does it.
            idempotent: whether it may be made again where an earlier attempt died in the middle.

        Raises:
            StepRaised: the effect raised, or died and may not be made again.
        """
        ...

    def remember(self, name: str, write: Callable[[], Any]) -> Any:
        """Write to the records; the write must be one that may happen twice."""
        ...

    def report(self, name: str, send: Callable[[], None]) -> None:
        """Send a report; repeat it while it raises ReportUndelivered and time is left.

        Raises:
            ReportRefused: a final no from ``send``.
            ReportUndelivered: time ran out first.
        """
        ...


class InlineSteps:
    """Steps inside a request: each effect is made right away and kept nowhere.

    Args:
        before_first_turn: called once before the first Sample goes out; records that from here on
            nobody can say that no turn was captured.
        report_deadline: epoch seconds until which a report is repeated.
    """

    def __init__(self, before_first_turn: Callable[[], None], report_deadline: float) -> None:
        self._before_first_turn = before_first_turn
        self._report_deadline = report_deadline
        self._sampling = False
        self.tries: dict[str, int] = {}

    def play(self, body: Callable[[], Result]) -> Result:
        return body()

    def replaying(self) -> bool:
        return False

    def turn(self, index: int, request: bytes, sample: Callable[[], bytes]) -> Sampled:
        del index, request  # nothing replays here
        if not self._sampling:
            self._before_first_turn()
            self._sampling = True
        began = time.monotonic()
        return Sampled(sample(), time.monotonic() - began)

    def step(self, name: str, effect: Callable[[], Any], *, idempotent: bool) -> Any:
        del name, idempotent
        return effect()

    def remember(self, name: str, write: Callable[[], Any]) -> Any:
        del name
        return write()

    def report(self, name: str, send: Callable[[], None]) -> None:
        def counted() -> None:
            self.tries[name] = self.tries.get(name, 0) + 1
            send()

        repeat(counted, self._report_deadline)


def repeat(send: Callable[[], None], deadline: float) -> None:
    """Send a report; repeat it while it raises ReportUndelivered and another try is in time.

    Args:
        send: sends it once.
        deadline: epoch seconds until which it is repeated.

    Raises:
        ReportRefused: a final no from ``send``.
        ReportUndelivered: time ran out first.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return send()
        except ReportUndelivered as error:
            pause = _PAUSES.pause(attempt, error.retry_after)
            if time.time() + pause >= deadline:
                raise
            time.sleep(pause)
