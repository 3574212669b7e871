"""Logs and metrics: JSON lines with ids, sizes and timings, and never any content.

:func:`about` names the rollout in hand; from there on every line of the invocation carries its job,
trajectory and execution, also what an agent writes with a Powertools logger of its own.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from aws_lambda_powertools.logging import Logger

from rollout.errors import OutOfTime, RolloutError
from rollout.results import Report, Result, Rollout
from rollout.settings import settings
from rollout.telemetry import metrics
from rollout.trust import is_name

_SILENT = "aws_durable_execution_sdk_python"

Did = Literal["played", "delivered", "closed", "answered"]


@cache
def logger() -> Logger:
    """The library's logger, made when it is first needed: it reads its level from the environment."""
    return Logger(service=metrics.service())


def begin(context: Any) -> None:
    """Start the log lines of one invocation."""
    # The SDK logs what a step raised, and its traceback; what matters is said here without content.
    logging.getLogger(_SILENT).setLevel(logging.CRITICAL)
    # Below WARNING the libraries underneath log bodies; Lambda's runtime sets the root to LogLevel.
    root = logging.getLogger()
    root.setLevel(max(root.level, logging.WARNING))
    logger().thread_safe_clear_keys()
    logger().thread_safe_append_keys(request_id=getattr(context, "aws_request_id", ""))


def about(
    job_arn: str, trajectory_id: str, *, execution: str = "", execution_arn: str = ""
) -> None:
    """Name the rollout in hand; what cannot be a rollout's name may be anything and is not logged.

    Args:
        execution: name of the durable execution that plays it.
        execution_arn: of that execution.
    """
    if not is_name(job_arn, trajectory_id):
        return
    ids = {"job_arn": job_arn, "trajectory_id": trajectory_id}
    if execution:
        ids |= {"execution": execution, "execution_arn": execution_arn}
    logger().thread_safe_append_keys(**ids)


def accepted(*, group: str, execution: str, repeated: bool) -> None:
    """One rollout has been accepted for a durable execution.

    Args:
        group: the rollout's.
        execution: the name it is played under.
        repeated: whether it had been accepted before.
    """
    logger().thread_safe_append_keys(execution=execution)
    logger().info("rollout accepted", extra={"group": group, "repeated": int(repeated)})
    if not repeated:
        _emit({"RolloutsAccepted": 1})


def inline(rollout: Rollout, result: Result, report: Report, *, did: Did) -> None:
    """One rollout has ended within its request, or has been answered again.

    Args:
        did: what was done with it; a repeat may only have its report delivered, or its answer.
    """
    new = did == "played"
    extra = {"group": rollout.group, "repeated": int(not new)}
    logger().info("rollout ended", extra={**extra, "mode": "inline", **_result(result, report)})
    if did == "answered":
        return
    numbers = _outcome(result, report)
    if new:
        late = result.failure is not None and result.failure.slug == OutOfTime.slug
        numbers |= {"RolloutsAccepted": 1, "InlineOverruns": int(late), **_played(result)}
        numbers["InlineSeconds"] = result.seconds
    if did == "closed":
        numbers["RolloutsClosed"] = 1
    _emit(numbers, _boundary(result, report))


def durable(rollout: Rollout, result: Result, report: Report, seconds: float) -> None:
    """One durable rollout has ended.

    Args:
        seconds: since it was accepted.
    """
    extra = {"group": rollout.group, "repeated": 0, "mode": "durable"}
    extra |= {**_result(result, report), "seconds": round(seconds, 3)}
    logger().info("rollout ended", extra=extra)
    numbers = {**_outcome(result, report), **_played(result), "DurableSeconds": round(seconds, 3)}
    _emit(numbers, _boundary(result, report))


def resumed() -> None:
    """An invocation goes on with a durable rollout that an earlier one began."""
    logger().info("rollout resumed")
    _emit({"Replays": 1})


def closed(state: str, result: Result, report: Report) -> None:
    """A rollout whose process is gone has been brought to its end.

    Args:
        state: the one it was found in.
    """
    logger().warning("rollout closed", extra={"was": state, **_result(result, report)})
    died = state != "scored"
    _emit({"RolloutsClosed": int(died), **_outcome(result, report)}, _boundary(result, report))


def swept(done: Mapping[str, int], *, healthy: bool) -> None:
    """One sweep is over."""
    logger().thread_safe_remove_keys(("job_arn", "trajectory_id"))
    logger().info("sweep ended", extra={**done, "healthy": healthy})
    _emit({"Healthy": int(healthy)})


def refused(error: RolloutError) -> None:
    """A request was answered with a problem."""
    level = logger().error if error.status >= 500 else logger().info
    level(
        "request refused",
        extra={"error_type": error.slug, "boundary": error.boundary, "http_status": error.status},
    )


def crashed(error: BaseException) -> None:
    """A bug: its type and place. Its message stays out of the log, for it may quote content."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    logger().error(
        "unexpected error",
        extra={
            "exception": type(error).__name__,
            "frames": [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames],
        },
    )


def _result(result: Result, report: Report) -> dict[str, Any]:
    return {
        "status": result.status,
        "reward": result.reward,
        "turns": result.turns,
        "seconds": result.seconds,
        "tokens_in": result.usage.get("prompt_tokens", 0),
        "tokens_out": result.usage.get("completion_tokens", 0),
        "text_tool_calls": result.metrics.get("text_tool_calls", 0),
        "error_type": result.failure.slug if result.failure else None,
        "boundary": _boundary(result, report) or None,
        "report": report.delivery,
        "report_retries": report.retries,
    }


def _boundary(result: Result, report: Report) -> str:
    """Who is at fault; a reward the trainer refused did not count, whatever it was."""
    if report.delivery == "refused":
        return "trainer"
    return result.failure.boundary if result.failure else ""


def _outcome(result: Result, report: Report) -> dict[str, float | list[float]]:
    """What a rollout came to; counted once, by whoever brought its report to an end."""
    numbers: dict[str, float | list[float]] = {"ReportRetries": report.retries}
    if report.delivery == "pending":
        return numbers | {"ReportsPending": 1}
    failed = result.status == "failed" or report.delivery == "refused"
    numbers |= {
        "RolloutsCompleted": int(not failed),
        "RolloutsFailed": int(failed),
        "RolloutsFloored": int(not failed and result.failure is not None),
    }
    if result.reward is not None and not failed:
        numbers["Reward"] = result.reward
    return numbers


def _played(result: Result) -> dict[str, float | list[float]]:
    """What playing a rollout took; counted by whoever played it."""
    return {
        "Turns": result.turns,
        "TokensIn": result.usage.get("prompt_tokens", 0),
        "TokensOut": result.usage.get("completion_tokens", 0),
        "TextToolCalls": result.metrics.get("text_tool_calls", 0),
        "SampleLatency": [round(turn["seconds"], 4) for turn in result.transcript],
    }


def _emit(numbers: metrics.Values, boundary: str = "") -> None:
    ids = logger().thread_safe_get_current_keys()
    metrics.emit(numbers, settings(), ids=ids, boundary=boundary)
