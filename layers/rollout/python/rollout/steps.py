"""How a side effect is made once.

``run`` plays a rollout through this seam and does not know whether it runs inside a request or as a
durable execution. Inline, an effect is simply made; the durable implementation
(``rollout.aws.durable_steps``) records each one and hands the recorded
value back when the rollout replays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from rollout.backoff import Backoff
from rollout.errors import ReportRefused, ReportUndelivered, RolloutError, Unavailable
from rollout.results import Result
from rollout.waiting import StillWaiting, wait_for

T = TypeVar("T")

# Seconds in which the trainer may not see yet what was reported just before.
LAG_SECONDS = 10.0
# Seconds after the reports' deadline in which a request still records; what one write may take at least.
_RECORD_SECONDS, _ONE_WRITE_SECONDS = 1.0, 2.0

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

    def remember(self, name: str, write: Callable[[], Any], *, at_most: float = math.inf) -> Any:
        """Write to storage; repeat it while it raises Unavailable. It must be one that may happen twice.

        Args:
            at_most: seconds for which it is repeated, if less than what is left.

        Raises:
            Unavailable: time ran out first.
        """
        ...

    def remember_later(self, name: str, write: Callable[[], None]) -> None:
        """Write to storage when everything else is done, if there is a later."""
        ...

    def report(
        self,
        name: str,
        send: Callable[[], None],
        *,
        may_lag: bool = False,  # pragma: no mutate - a protocol's default is never used
    ) -> None:
        """Send a report; repeat it while it raises ReportUndelivered and time is left.

        A no to the repeat of what the trainer may have taken is about the repeat, and counts as taken.

        Args:
            may_lag: whether a no may pass within seconds, because the trainer does not see yet what was
                reported just before.

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
        reported_before: whether another process may have sent these reports.
    """

    def __init__(
        self,
        before_first_turn: Callable[[], None],
        report_deadline: float,
        *,
        reported_before: bool = False,
    ) -> None:
        self._before_first_turn = before_first_turn
        self._report_deadline = report_deadline
        self._reported_before = reported_before
        self.sampling = False
        # Why the rollout cannot go on though nothing was sampled; an agent must not hold it up.
        self._stopped: RolloutError | None = None
        self.tries: dict[str, int] = {}

    def play(self, body: Callable[[], Result]) -> Result:
        result = body()
        if self._stopped is not None:
            raise self._stopped
        return result

    def replaying(self) -> bool:
        return False

    def turn(self, index: int, request: bytes, sample: Callable[[], bytes]) -> Sampled:
        del index, request  # nothing replays here
        if self._stopped is not None:
            raise self._stopped
        if not self.sampling:
            try:
                self._before_first_turn()
            except RolloutError as error:
                self._stopped = error
                raise
            self.sampling = True
        began = time.monotonic()
        return Sampled(sample(), time.monotonic() - began)

    def step(self, name: str, effect: Callable[[], Any], *, idempotent: bool) -> Any:
        del name, idempotent
        return effect()

    def remember(self, name: str, write: Callable[[], Any], *, at_most: float = math.inf) -> Any:
        until = min(time.time() + at_most, self._report_deadline + _RECORD_SECONDS)

        def written() -> Any:
            seconds = max(_ONE_WRITE_SECONDS, until - time.time())
            try:
                return wait_for(write, seconds, name=name)
            except StillWaiting:
                raise Unavailable(f"Storage did not answer in time ({name}).") from None

        return repeat(written, until, on=Unavailable)

    def remember_later(self, name: str, write: Callable[[], None]) -> None:
        del name, write  # a request has no later

    def report(self, name: str, send: Callable[[], None], *, may_lag: bool = False) -> None:
        lag_until = time.time() + (LAG_SECONDS if may_lag else 0.0)
        lost = self._reported_before

        def counted() -> None:
            nonlocal lost
            self.tries[name] = self.tries.get(name, 0) + 1
            try:
                send()
            except ReportUndelivered as error:
                lost = lost or error.possibly_taken
                raise
            except ReportRefused as error:
                if error.may_be_lag and time.time() < lag_until:
                    detail = error.detail
                    raise ReportUndelivered(detail, retry_after=1, possibly_taken=False) from None
                if not lost:
                    raise
            else:
                self._reported_before = False

        repeat(counted, self._report_deadline)


def repeat(
    send: Callable[[], T], deadline: float, *, on: type[RolloutError] = ReportUndelivered
) -> T:
    """Make a call; repeat it while it raises a passing error and another try is in time.

    Args:
        send: makes it once.
        deadline: epoch seconds until which it is repeated.
        on: the error that may pass.

    Raises:
        RolloutError: ``on``, when time ran out; any other of ``send``.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return send()
        except on as error:
            pause = _PAUSES.pause(attempt, error.retry_after)
            if time.time() + pause >= deadline:
                raise
            time.sleep(pause)
