"""Steps of a durable execution: each effect is recorded, and told again when the rollout replays.

Lambda runs the handler anew after a crash, a suspension or a timeout; what was recorded is handed
back, so a turn that was captured is never sampled again. A Sample is one step with at-most-once
semantics and no retry: where an attempt died between sampling and recording, nobody can know whether
the turn was captured, and the rollout ends there. The agent runs in a child context, so that the
steps after it keep their place in the history however many steps the agent made.

Errors are recorded as values, never raised out of a step: the SDK would log their message and hand
back another type. Results larger than a checkpoint go to S3.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

from aws_durable_execution_sdk_python.config import (
    ChildConfig,
    Duration,
    StepConfig,
    StepSemantics,
)
from aws_durable_execution_sdk_python.context import DurableContext
from aws_durable_execution_sdk_python.exceptions import (
    NonDeterministicExecutionError,
    RetryableSerDesError,
    StepError,
    StepInterruptedError,
)
from aws_durable_execution_sdk_python.retries import RetryDecision
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext
from aws_durable_execution_sdk_python.types import StepContext

from rollout.aws.bucket import Bucket
from rollout.backoff import Backoff
from rollout.errors import (
    Abandoned,
    AlreadyRunning,
    BadReply,
    NotFound,
    ReplayMismatch,
    ReportRefused,
    ReportUndelivered,
    RolloutError,
    SampleFailed,
    SampleInterrupted,
    StepRaised,
    Unavailable,
    rebuild,
)
from rollout.results import Result
from rollout.steps import LAG_SECONDS, Sampled, repeat
from rollout.waiting import StillWaiting, wait_for

# A checkpoint holds 256 KB; JSON in UTF-8 may be longer than its characters.
_MAX_CHECKPOINT = 200_000
_PAUSES = Backoff(first=2.0, longest=30.0, least=0.5)
# How long an invocation tries to move a value that is too large for a checkpoint.
_SPILL_SECONDS = 60.0
# Kept of an invocation beyond the time one Sample may take.
_MARGIN = 10.0

Outcome = dict[str, Any]
T = TypeVar("T")


class _Later(Exception):
    """Not now: do this step in the next invocation."""


class Spill(SerDes[Any]):
    """Writes a step's result as JSON, to S3 where it is larger than a checkpoint.

    Args:
        bucket: for what is larger.
        key: an object's key for an execution's ARN and an operation's id.
        limit: bytes that stay in the checkpoint.
    """

    def __init__(
        self, bucket: Bucket, key: Callable[[str, str], str], limit: int = _MAX_CHECKPOINT
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._limit = limit

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        text = json.dumps({"value": value}, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= self._limit:
            return text
        key = self._key(serdes_context.durable_execution_arn, serdes_context.operation_id)
        self._patiently(lambda: self._bucket.put(key, text.encode()))
        return json.dumps({"key": key})

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        del serdes_context
        document = json.loads(data)
        if "key" in document:
            document = self._patiently(lambda: json.loads(self._bucket.get(document["key"])))
        return document["value"]

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call to the bucket until it answers.

        Raises:
            RetryableSerDesError: it did not; the SDK gives the invocation up, and Lambda makes another.
        """
        try:
            return repeat(call, time.time() + _SPILL_SECONDS, on=Unavailable)
        except (Unavailable, NotFound, ValueError) as error:
            raise RetryableSerDesError(
                f"A step's value could not be moved ({type(error).__name__})."
            ) from None


class DurableSteps:
    """Steps of one durable execution.

    Args:
        context: the execution's.
        spill: writes what the steps return.
        before_first_turn: called once before the first Sample goes out; records that from here on
            nobody can say that no turn was captured.
        sample_timeout: seconds one Sample may take.
        replay: whether the agent can be replayed; if not, it runs as one at-most-once step.
        retry_until: epoch seconds until which a report is repeated.
    """

    def __init__(
        self,
        context: DurableContext,
        *,
        spill: Spill,
        before_first_turn: Callable[[], None],
        sample_timeout: float,
        replay: bool,
        retry_until: float,
    ) -> None:
        self._context = context
        # The agent's own context; None while it runs as one step.
        self._inner: DurableContext | None = None
        self._spill = spill
        self._before_first_turn = before_first_turn
        self._needed = sample_timeout + _MARGIN
        self._replay = replay
        self._retry_until = retry_until
        # What the SDK ends this invocation with: no ``except`` or ``finally`` of an agent may swallow it.
        self._stopped_by: BaseException | None = None
        self.tries: dict[str, int] = {}

    def play(self, body: Callable[[], Result]) -> Result:
        if not self._replay:
            try:
                known = self._context.step(
                    lambda _: body().dump(), "agent", _at_most_once(self._spill)
                )
            except StepError:
                raise Abandoned(
                    "The process that played this rollout died, and the agent is marked replay=False; "
                    "a second play would mix two attempts in one trajectory."
                ) from None
            return Result.load(known)

        def inside(child: DurableContext) -> dict[str, Any]:
            self._inner = child
            try:
                result = body()
            finally:
                if self._stopped_by is not None:
                    raise self._stopped_by
            return result.dump()

        config: ChildConfig[dict[str, Any]] = ChildConfig(serdes=self._spill)
        context: Any = self._context
        return Result.load(context.run_in_child_context(inside, "agent", config))

    def replaying(self) -> bool:
        return self._inner is not None and self._inner.is_replaying()

    def turn(self, index: int, request: bytes, sample: Callable[[], bytes]) -> Sampled:
        digest = hashlib.sha256(request).hexdigest()

        def attempt(step: StepContext | None) -> Outcome:
            self._while_time_is_left(step)
            if index == 0:
                self._announce(step)
            return {"request": digest, **_outcome(sample)}

        name = f"turn {index + 1}"
        known = self._recorded(name, attempt) if self._inner else attempt(None)
        if known is None:
            raise SampleInterrupted(
                f"The process died while it sampled {name}; nobody can know whether the "
                "turn was captured, so it is not sampled again.",
                captured="unknown",
            )
        if known["request"] != digest:
            raise _mismatch(name, "its request differs from the recorded one")
        reply, seconds = _value(known)
        return Sampled(reply.encode(), seconds)

    def step(self, name: str, effect: Callable[[], Any], *, idempotent: bool) -> Any:
        def attempt(step: StepContext) -> Outcome:
            self._while_time_is_left(step)
            try:
                return {"value": effect()}
            except RolloutError as error:
                return {"error": error.record()}
            except Exception as error:  # noqa: BLE001 - recorded, so that it replays the same
                raised = StepRaised(f"The step {name!r} raised {type(error).__name__}.")
                return {"error": raised.record()}

        if self._inner is None:
            return effect()
        known = self._recorded(f"step {name}", attempt, idempotent=idempotent)
        if known is None:
            raise StepRaised(
                f"The process died during the step {name!r}; write idempotent=True if it may be "
                "made twice."
            )
        return _value(known)

    def remember(self, name: str, write: Callable[[], Any], *, at_most: float = math.inf) -> Any:
        return remember(
            self._context,
            self._spill,
            name,
            write,
            retry_until=self._retry_until,
            at_most=at_most,
        )

    def remember_later(self, name: str, write: Callable[[], None]) -> None:
        with suppress(Unavailable):
            self.remember(name, write)

    def report(self, name: str, send: Callable[[], None], *, may_lag: bool = False) -> None:
        def attempt(step: StepContext) -> Outcome:
            self.tries[name] = step.attempt
            try:
                _past_lag(send, LAG_SECONDS if may_lag else 0.0)
            except ReportRefused as error:
                if step.attempt == 1:
                    return {"error": error.record(), "tries": step.attempt}
            return {"value": None, "tries": step.attempt}

        try:
            known = self._context.step(attempt, name, _reported(self._spill, self._retry_until))
        except StepError:
            raise ReportUndelivered(
                f"The report {name!r} did not get through in time; the sweep goes on with it."
            ) from None
        self.tries[name] = known["tries"]  # a replay is told it
        _value(known)

    # --- inside -------------------------------------------------------------------------------

    def _recorded(
        self, name: str, attempt: Callable[[StepContext], Outcome], *, idempotent: bool = False
    ) -> Outcome | None:
        """Make a recorded step inside the agent; None where an earlier attempt died in it."""
        config = _at_least_once(self._spill) if idempotent else _at_most_once(self._spill)
        if self._stopped_by is not None:
            raise self._stopped_by
        try:
            return cast("DurableContext", self._inner).step(attempt, name, config)
        except StepError:
            return None
        except NonDeterministicExecutionError:
            raise _mismatch(name, "another step was recorded in its place") from None
        except BaseException as error:
            self._stopped_by = error
            raise

    def _while_time_is_left(self, step: StepContext | None) -> None:
        """Put the step off to the next invocation if this one may end before it is done.

        Only a first attempt is put off: a second one has a whole invocation before it.
        """
        context = self._context.lambda_context
        if step is None or step.attempt > 1 or context is None:
            return
        if context.get_remaining_time_in_millis() / 1000 < self._needed:
            raise _Later

    def _announce(self, step: StepContext | None) -> None:
        """Remember that sampling begins; until that is written nothing is sampled."""
        try:
            self._before_first_turn()
        except Unavailable:
            if step is None:  # inside the agent's one step: there is no later
                raise
            raise _Later from None


def remember(
    context: DurableContext,
    spill: Spill,
    name: str,
    write: Callable[[], Any],
    *,
    retry_until: float,
    at_most: float = math.inf,
) -> Any:
    """Write to the records as a step; the write must be one that may happen twice.

    Args:
        write: returns a JSON value; repeated while it raises Unavailable.
        retry_until: epoch seconds until which it is repeated.
        at_most: seconds for which it is repeated, if less than what is left.

    Raises:
        Unavailable: time ran out first.
        AlreadyRunning: from ``write``; the rollout is another's.
    """

    def attempt(_: StepContext) -> Outcome:
        try:
            if at_most == math.inf:
                return {"value": write()}
            return {"value": _within(write, at_most, name)}
        except AlreadyRunning as error:
            return {"error": error.record()}
        except Unavailable as error:
            if at_most == math.inf:
                raise
            return {"error": error.record()}

    try:
        known = context.step(attempt, name, _repeated(spill, Unavailable, retry_until))
    except StepError:
        raise Unavailable(f"Storage did not answer in time ({name}).") from None
    return _value(known)


def _within(write: Callable[[], Any], seconds: float, name: str) -> Any:
    """Repeat a write for some seconds, without the pauses of a suspension."""
    until = time.time() + seconds

    def once() -> Any:
        try:
            return wait_for(write, max(1.0, until - time.time()), name=name)
        except StillWaiting:
            raise Unavailable(f"Storage did not answer in time ({name}).") from None

    return repeat(once, until, on=Unavailable)


def _past_lag(send: Callable[[], None], seconds: float) -> None:
    """Send a report; while its no may come from a trainer that does not see yet, send it again."""
    until = time.time() + seconds
    while True:
        try:
            return send()
        except ReportRefused as error:
            if not error.may_be_lag or time.time() >= until:
                raise
        time.sleep(1.0)


def _at_most_once(spill: Spill) -> StepConfig:
    return StepConfig(
        retry_strategy=_only_later,
        step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
        serdes=spill,
    )


def _at_least_once(spill: Spill) -> StepConfig:
    return StepConfig(retry_strategy=_only_later, serdes=spill)


def _reported(spill: Spill, retry_until: float) -> StepConfig:
    """As :func:`_repeated`, for a report: one that died on its way is counted as sent."""
    config = _repeated(spill, (ReportUndelivered, StepInterruptedError), retry_until)
    return replace(config, step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)


def _repeated(
    spill: Spill, transient: type[Exception] | tuple[type[Exception], ...], retry_until: float
) -> StepConfig:
    """Repeated with jitter while it fails with a transient error and time is left."""

    def strategy(error: Exception, attempts: int) -> RetryDecision:
        if not isinstance(error, transient) or time.time() >= retry_until:
            return RetryDecision.no_retry()
        asked = error.retry_after if isinstance(error, RolloutError) else None
        seconds = max(1, round(_PAUSES.pause(attempts, asked)))
        return RetryDecision.retry(Duration.from_seconds(seconds))

    return StepConfig(retry_strategy=strategy, serdes=spill)


def _outcome(sample: Callable[[], bytes]) -> Outcome:
    began = time.monotonic()
    try:
        reply = sample().decode()
    except RolloutError as error:
        return {"error": error.record()}
    except UnicodeDecodeError:
        return {"error": BadReply("The policy's reply is not valid JSON: not UTF-8.").record()}
    except Exception as error:  # noqa: BLE001 - whatever it was, the turn is not sampled again
        failed = SampleFailed(f"Sampling raised {type(error).__name__}.", captured="unknown")
        return {"error": failed.record()}
    return {"value": [reply, round(time.monotonic() - began, 6)]}


def _value(outcome: Outcome) -> Any:
    """What a recorded step came to: its value, or the error it is raised as again."""
    if "error" in outcome:
        raise rebuild(outcome["error"])
    return outcome["value"]


def _only_later(error: Exception, attempts: int) -> RetryDecision:
    del attempts
    if isinstance(error, _Later):
        return RetryDecision.retry(Duration.from_seconds(1))
    return RetryDecision.no_retry()


def _mismatch(place: str, how: str) -> ReplayMismatch:
    return ReplayMismatch(
        f"The agent did not replay {place} the way it ran before: {how}. Between its episode's calls "
        "an agent must be deterministic: use episode.random, wrap what changes in episode.step, or "
        "mark it @agent(replay=False)."
    )
