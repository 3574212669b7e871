"""Lambda's durable executions: named starts, replay, retried steps, time limits, deaths, two at once.

What a step or child context does is a model of ``aws_durable_execution_sdk_python`` 3.0 (operation/step.py,
operation/child.py, context.py), whose own engine needs two threads an invocation. ``test_fidelity``
plays the same agents on both.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aws_durable_execution_sdk_python.config import StepSemantics
from aws_durable_execution_sdk_python.exceptions import (
    BackgroundThreadError,
    ChildContextError,
    ExecutionError,
    InvocationError,
    NonDeterministicExecutionError,
    RetryableSerDesError,
    SerDesError,
    StepError,
    StepInterruptedError,
    SuspendExecution,
)
from greenlet import GreenletExit

from tests.simulation.services import refusal
from tests.simulation.world import Dice, Process, World, here

ARN = "arn:aws:lambda:us-west-2:123456789012:function:worker:live/durable-execution"
# Lambda gives up on an execution whose invocations fail so often in a row.
_MOST_FAILURES = 5
_LAMBDA_LIMIT = 900.0


class CheckpointFailed(InvocationError):
    """Lambda did not take a checkpoint."""


@dataclass
class Operation:
    """One step or child context as it is recorded."""

    name: str
    kind: str
    status: str
    attempt: int = 0
    result: str | None = None
    error: Exception | None = None
    next_at: float = 0.0


@dataclass
class Execution:
    """One durable execution."""

    name: str
    payload: bytes
    deadline: float
    job: str = ""
    status: str = "RUNNING"
    token: int = 0
    failures: int = 0
    invocations: int = 0
    operations: dict[str, Operation] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"{ARN}/{self.name}"


class LambdaService:
    """Starts and resumes executions, and tells the event bus of those that failed.

    Args:
        worker: plays one invocation: takes the event and a durable context.
        tell: told of an execution that failed or timed out.
        skew: how far the clock of a new process is ahead.
        spill: bytes that stay in a checkpoint, if not the library's own limit.
    """

    def __init__(
        self,
        world: World,
        worker: Callable[[dict[str, Any], Any], Any],
        tell: Callable[[Execution], None],
        *,
        skew: Callable[[], float],
        timeout: float,
        spill: int | None = None,
    ) -> None:
        self.world, self.worker, self.tell, self.skew = world, worker, tell, skew
        self.timeout, self.spill = timeout, spill
        self.executions: dict[str, Execution] = {}
        self._dice = Dice(world.seed, 0xD00)

    def start(self, name: str, payload: bytes) -> dict[str, Any]:
        """Start an execution; the same name and payload again is the same execution."""
        known = self.executions.get(name)
        if known is not None:
            if known.payload != payload:
                raise refusal(409, "DurableExecutionAlreadyStartedException")
        else:
            now = self.world.now
            job = json.loads(payload)["job_arn"]
            known = self.executions[name] = Execution(name, payload, now + self.timeout, job)
            self.world.note(f"execution {name[:8]} started")
            self._later(known, self._dice.uniform(0.01, 3.0))
            self.world.at(known.deadline, lambda: self._end(known, known.token, "TIMED_OUT"))
        return {"StatusCode": 202, "DurableExecutionArn": known.arn}

    def _later(self, execution: Execution, seconds: float) -> None:
        token = execution.token
        self.world.at(self.world.now + seconds, lambda: self._invoke(execution, token))

    def _invoke(self, execution: Execution, token: int) -> None:
        if execution.token != token or execution.status != "RUNNING":
            return
        execution.token += 1
        execution.invocations += 1
        token = execution.token
        now = self.world.now
        for operation in execution.operations.values():
            if operation.status == "PENDING" and operation.next_at <= now:
                operation.status = "READY"
        event = json.loads(execution.payload)
        process = self.world.spawn(
            f"worker {execution.name[:8]}/{token}",
            lambda: self._run(execution, token, event),
            limit=_LAMBDA_LIMIT,
            trajectory=event["trajectory_id"],
            skew=self.skew(),
        )
        process.lingers = self._dice.uniform(0.0, 20.0)
        process.thaws = self._dice.choice((0.0, 60.0, 500.0))

    def _run(self, execution: Execution, token: int, event: dict[str, Any]) -> None:
        context = Context(self, execution, token, here().process, "", new=not execution.operations)
        try:
            json.dumps(self.worker(event, context))
        except SuspendExecution:
            self._suspended(execution, token)
        except GreenletExit:
            self.failed(execution, token)
            raise
        except (InvocationError, BackgroundThreadError):
            here().process.died = "failed"  # what it computed could not be recorded
            self.failed(execution, token)
        except Exception as error:  # noqa: BLE001 - the SDK's last resort
            self.world.note(f"worker failed: {error!r}")
            self._end(execution, token, "FAILED")
        except BaseException as error:  # noqa: BLE001 - ends the process
            self.world.note(f"worker exited: {error!r}")
            self.failed(execution, token)
        else:
            self._end(execution, token, "SUCCEEDED")

    def failed(self, execution: Execution, token: int) -> None:
        """An invocation has died, or is believed to have."""
        if execution.token != token:
            return
        execution.failures += 1
        if execution.failures >= _MOST_FAILURES:
            self._end(execution, token, "FAILED")
        else:
            self._later(execution, self._dice.uniform(1.0, 10.0))

    def _suspended(self, execution: Execution, token: int) -> None:
        if execution.token != token:
            return
        due = [o.next_at for o in execution.operations.values() if o.status in ("PENDING", "READY")]
        now = self.world.now
        if not due:  # suspended without anything to wait for: nothing ever resumes it
            return
        self._later(execution, max(0.0, min(due) - now) + self._dice.uniform(0.0, 0.5))

    def _end(self, execution: Execution, token: int, status: str) -> None:
        if execution.status != "RUNNING" or (status != "TIMED_OUT" and execution.token != token):
            return
        execution.status = status
        execution.token += 1
        self.world.note(f"execution {execution.name[:8]} {status}")
        if status != "SUCCEEDED":
            self.tell(execution)


class Context:
    """A durable context: the execution's own, or a child's."""

    def __init__(
        self,
        service: LambdaService,
        execution: Execution,
        token: int,
        process: Process,
        prefix: str,
        *,
        new: bool,
    ) -> None:
        self._service, self._execution, self._token = service, execution, token
        self._process, self._prefix = process, prefix
        self._replaying = not new
        self._count = 0
        self.execution_context = SimpleNamespace(durable_execution_arn=execution.arn)
        self.lambda_context = self

    def get_remaining_time_in_millis(self) -> int:
        return int((self._process.deadline - self._service.world.now) * 1000)

    def is_replaying(self) -> bool:
        return self._replaying

    def step(self, func: Callable[[Any], Any], name: str, config: Any) -> Any:
        place, known = self._next(name, "step")
        if self._replaying and (known is None or known.status not in ("SUCCEEDED", "FAILED")):
            self._replaying = False
        try:
            return self._step(place, known, func, name, config)
        finally:
            self._look_ahead()

    def run_in_child_context(self, func: Callable[[Any], Any], name: str, config: Any) -> Any:
        place, known = self._next(name, "context")
        if self._replaying and known is None:
            self._replaying = False
        try:
            return self._child(place, known, func, name, config)
        finally:
            self._look_ahead()

    # --- inside -------------------------------------------------------------------------------

    def _next(self, name: str, kind: str) -> tuple[str, Operation | None]:
        self._count += 1
        place = f"{self._prefix}{self._count}"
        known = self._execution.operations.get(place)
        if known is not None and (known.name, known.kind) != (name, kind):
            raise NonDeterministicExecutionError(f"{known.name} is not {name}", step_id=place)
        return place, known

    def _look_ahead(self) -> None:
        if self._replaying and f"{self._prefix}{self._count + 1}" not in self._execution.operations:
            self._replaying = False

    def _step(
        self,
        place: str,
        known: Operation | None,
        func: Callable[[Any], Any],
        name: str,
        config: Any,
    ) -> Any:
        serdes = self._serdes(config)
        once = config.step_semantics is StepSemantics.AT_MOST_ONCE_PER_RETRY
        if known is not None:
            if known.status == "SUCCEEDED":
                return self._deserialize(serdes, known.result, place)
            if known.status == "FAILED":
                raise known.error or StepError("failed")
            if known.status == "PENDING":
                raise SuspendExecution(f"{name} is due later")
            if known.status == "STARTED" and once:
                self._retry(place, known, StepInterruptedError("interrupted"), config)
        if known is None or known.status == "READY":
            attempt = known.attempt if known is not None else 0
            started = Operation(name, "step", "STARTED", attempt)
            if once:
                self._checkpoint(place, started)
            elif self._current():
                self._execution.operations[place] = started
            known = started
        context = SimpleNamespace(attempt=known.attempt + 1)
        try:
            raw = func(context)
            text = self._serialize(serdes, raw, place)
            value = self._deserialize(serdes, text, place)
            self._checkpoint(place, Operation(name, "step", "SUCCEEDED", known.attempt, text))
        except RetryableSerDesError:
            raise
        except SerDesError as error:
            self._checkpoint(place, Operation(name, "step", "FAILED", known.attempt, error=error))
            raise
        except Exception as error:
            if isinstance(error, ExecutionError):
                raise
            return self._retry(place, known, error, config)
        return value

    def _retry(self, place: str, known: Operation, error: Exception, config: Any) -> Any:
        decision = config.retry_strategy(error, known.attempt + 1)
        if decision.should_retry:
            seconds = max(1, decision.delay_seconds)
            when = self._service.world.now + seconds
            attempt = known.attempt + 1
            self._checkpoint(place, Operation(known.name, "step", "PENDING", attempt, next_at=when))
            raise SuspendExecution(f"{known.name} again in {seconds} s")
        failed = StepError(str(error))
        self._checkpoint(
            place, Operation(known.name, "step", "FAILED", known.attempt, error=failed)
        )
        raise failed

    def _child(
        self,
        place: str,
        known: Operation | None,
        func: Callable[[Any], Any],
        name: str,
        config: Any,
    ) -> Any:
        serdes = self._serdes(config)
        if known is not None and known.status == "SUCCEEDED":
            return self._deserialize(serdes, known.result, place)
        if known is not None and known.status == "FAILED":
            raise known.error or ChildContextError("failed")
        if known is None and self._current():
            self._execution.operations[place] = Operation(name, "context", "STARTED")
        inner = Context(
            self._service,
            self._execution,
            self._token,
            self._process,
            f"{place}-",
            new=not self._replaying,
        )
        try:
            raw = func(inner)
            text = self._serialize(serdes, raw, place)
            value = self._deserialize(serdes, text, place)
            self._checkpoint(place, Operation(name, "context", "SUCCEEDED", 0, text))
        except ExecutionError:
            raise
        except Exception as error:
            if isinstance(error, InvocationError):
                raise
            failed = ChildContextError(str(error))
            self._checkpoint(place, Operation(name, "context", "FAILED", 0, error=failed))
            raise failed from error
        return value

    def _serdes(self, config: Any) -> Any:
        if self._service.spill is not None:  # so that small results meet the bucket too
            config.serdes._limit = self._service.spill
        return config.serdes

    def _serialize(self, serdes: Any, value: Any, place: str) -> str:
        try:
            return serdes.serialize(value, self._place(place))
        except (RetryableSerDesError, SerDesError):
            raise
        except Exception as error:
            raise SerDesError(f"Serialization failed: {type(error).__name__}") from error

    def _deserialize(self, serdes: Any, text: str | None, place: str) -> Any:
        try:
            return serdes.deserialize(text, self._place(place))
        except (RetryableSerDesError, SerDesError):
            raise
        except Exception as error:
            raise SerDesError(f"Deserialization failed: {type(error).__name__}") from error

    def _place(self, place: str) -> Any:
        return SimpleNamespace(durable_execution_arn=self._execution.arn, operation_id=place)

    def _current(self) -> bool:
        return self._execution.token == self._token and self._execution.status == "RUNNING"

    def _checkpoint(self, place: str, operation: Operation) -> None:
        """Record an operation; fails where another invocation has taken over."""
        world = self._service.world
        kind, seconds, _ = world.fault("durable.checkpoint", self._process.trajectory)
        if kind == "crash-before":
            world.die(kind)
        if kind == "zombie":  # believed dead: another invocation begins while this one goes on
            self._process.died = "believed dead"
            self._service.failed(self._execution, self._token)
            world.sleep(self._service._dice.uniform(0.0, 30.0))
        world.sleep(seconds)
        if kind == "refused" or not self._current():
            self._broken()
        self._execution.operations[place] = operation
        if kind == "crash-after":
            world.die(kind)
        if kind == "zombie-after":  # and goes on with what comes next, beside the other
            self._process.died = "believed dead"
            self._service.failed(self._execution, self._token)
        if kind == "lost":
            self._broken()

    def _broken(self) -> None:
        error = CheckpointFailed("the checkpoint was not answered")
        raise BackgroundThreadError("Checkpoint failed", error)
