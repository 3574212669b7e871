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
import logging
import random
import time
from collections.abc import Callable
from typing import Any, cast

from aws_durable_execution_sdk_python.config import (
    ChildConfig,
    Duration,
    StepConfig,
    StepSemantics,
)
from aws_durable_execution_sdk_python.context import DurableContext
from aws_durable_execution_sdk_python.exceptions import NonDeterministicExecutionError, StepError
from aws_durable_execution_sdk_python.retries import RetryDecision
from aws_durable_execution_sdk_python.serdes import SerDes, SerDesContext
from aws_durable_execution_sdk_python.types import StepContext

from rollout.aws import clients
from rollout.errors import (
    Abandoned,
    AlreadyRunning,
    BadReply,
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
from rollout.settings import Settings
from rollout.steps import Sampled

# The SDK logs what a step raised, and its traceback; telemetry says what matters without content.
logging.getLogger("aws_durable_execution_sdk_python").setLevel(logging.CRITICAL)

# A checkpoint holds 256 KB; JSON in UTF-8 may be longer than its characters.
_MAX_CHECKPOINT = 200_000
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
# Kept of an invocation beyond the time one Sample may take.
_MARGIN = 10.0

Outcome = dict[str, Any]


class _Later(Exception):
    """Not now: do this step in the next invocation."""


class Spill(SerDes[Any]):
    """Writes a step's result as JSON, to S3 where it is larger than a checkpoint.

    Args:
        settings: the bucket and its region.
        limit: bytes that stay in the checkpoint.
    """

    def __init__(self, settings: Settings, limit: int = _MAX_CHECKPOINT) -> None:
        self._settings = settings
        self._limit = limit

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        text = json.dumps({"value": value}, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) <= self._limit:
            return text
        place = f"{serdes_context.durable_execution_arn}\n{serdes_context.operation_id}"
        key = f"checkpoints/{hashlib.sha256(place.encode()).hexdigest()}.json"
        self._bucket().put_object(Bucket=self._settings.bucket, Key=key, Body=text.encode())
        return json.dumps({"key": key})

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        del serdes_context
        document = json.loads(data)
        if "key" not in document:
            return document["value"]
        answer = self._bucket().get_object(Bucket=self._settings.bucket, Key=document["key"])
        return json.loads(answer["Body"].read())["value"]

    def _bucket(self) -> Any:
        return clients.client("s3", self._settings.region, read_timeout=20, attempts=5)


class DurableSteps:
    """Steps of one durable execution.

    Args:
        context: the execution's.
        settings: the stack's.
        replay: whether the agent can be replayed; if not, it runs as one at-most-once step.
        patience: epoch seconds until which a report is repeated.
    """

    def __init__(
        self, context: DurableContext, settings: Settings, *, replay: bool, patience: float
    ) -> None:
        self._context = context
        # The agent's own context; None while it runs as one step.
        self._inner: DurableContext | None = None
        self._spill = Spill(settings)
        self._replay = replay
        self.patience = patience
        self._needed = settings.sample_timeout + _MARGIN
        self.before_first_turn: Callable[[], None] = lambda: None
        self.tries: dict[str, int] = {}

    def play(self, body: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def inside(child: DurableContext) -> dict[str, Any]:
            self._inner = child
            return body()

        if self._replay:
            config: ChildConfig[dict[str, Any]] = ChildConfig(serdes=self._spill)
            context: Any = self._context
            return context.run_in_child_context(inside, "agent", config)
        try:
            return self._context.step(lambda _: body(), "agent", self._at_most_once())
        except StepError:
            raise Abandoned(
                "The process that played this rollout died, and the agent is marked replay=False; "
                "a second play would mix two attempts in one trajectory."
            ) from None

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

    def step(self, name: str, effect: Callable[[], Any], *, again: bool) -> Any:
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
        known = self._recorded(f"step {name}", attempt, again=again)
        if known is None:
            raise StepRaised(
                f"The process died during the step {name!r}; write again=True if it may be "
                "made twice."
            )
        return _value(known)

    def remember(self, name: str, write: Callable[[], Any]) -> Any:
        def attempt(_: StepContext) -> Outcome:
            try:
                return {"value": write()}
            except AlreadyRunning as error:
                return {"error": error.record()}

        known = self._context.step(attempt, name, self._repeated(Unavailable))
        return _value(known)

    def report(self, name: str, send: Callable[[], None]) -> None:
        def attempt(step: StepContext) -> Outcome:
            self.tries[name] = step.attempt
            try:
                return {"value": send(), "tries": step.attempt}
            except ReportRefused as error:
                return {"error": error.record(), "tries": step.attempt}

        try:
            known = self._context.step(attempt, name, self._repeated(ReportUndelivered))
        except StepError:
            raise ReportUndelivered(
                f"The report {name!r} did not get through in time; the sweep goes on with it."
            ) from None
        self.tries[name] = known["tries"]  # a replay is told it
        _value(known)

    # --- inside -------------------------------------------------------------------------------

    def _recorded(
        self, name: str, attempt: Callable[[StepContext], Outcome], *, again: bool = False
    ) -> Outcome | None:
        """Make a recorded step inside the agent; None where an earlier attempt died in it."""
        config = self._at_least_once() if again else self._at_most_once()
        try:
            return cast("DurableContext", self._inner).step(attempt, name, config)
        except StepError:
            return None
        except NonDeterministicExecutionError:
            raise _mismatch(name, "another step was recorded in its place") from None

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
            self.before_first_turn()
        except Unavailable:
            if step is None:  # inside the agent's one step: there is no later
                raise
            raise _Later from None

    def _at_most_once(self) -> StepConfig:
        return StepConfig(
            retry_strategy=_only_later,
            step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
            serdes=self._spill,
        )

    def _at_least_once(self) -> StepConfig:
        return StepConfig(retry_strategy=_only_later, serdes=self._spill)

    def _repeated(self, transient: type[RolloutError]) -> StepConfig:
        """Repeated with jitter while it fails with a transient error and patience lasts."""

        def strategy(error: Exception, attempts: int) -> RetryDecision:
            if not isinstance(error, transient) or time.time() >= self.patience:
                return RetryDecision.no_retry()
            longest = min(_FIRST_PAUSE * 2.0**attempts, _LONGEST_PAUSE)
            pause = random.uniform(longest / 2, longest)  # noqa: S311 - jitter
            seconds = max(1, round(max(pause, error.retry_after or 0)))
            return RetryDecision.retry(Duration.from_seconds(seconds))

        return StepConfig(retry_strategy=strategy, serdes=self._spill)


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
