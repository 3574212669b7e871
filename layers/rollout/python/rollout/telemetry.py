"""Logs: one JSON line per event with ids, sizes and timings, and never any content."""

from __future__ import annotations

import traceback
from typing import Any

from aws_lambda_powertools.logging import Logger

from rollout.dispatch import Accepted
from rollout.errors import RolloutError
from rollout.records import Record
from rollout.run import Ending, Report, Rollout

logger = Logger(service="rollout")


def begin(context: Any) -> None:
    """Start the log lines of one invocation."""
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(request_id=getattr(context, "aws_request_id", ""))


def ended(rollout: Rollout, ending: Ending, told: Report, *, repeated: bool = False) -> None:
    """One rollout has ended, or has been answered again."""
    where = rollout.destination
    logger.info(
        "rollout ended",
        extra={
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "group": rollout.group,
            "repeated": repeated,
            **_ending(ending, told),
        },
    )


def accepted(known: Accepted) -> None:
    """One rollout has been accepted for a durable execution."""
    where = known.rollout.destination
    logger.info(
        "rollout accepted",
        extra={
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "group": known.rollout.group,
            "repeated": known.repeated,
        },
    )


def closed(record: Record, ending: Ending, told: Report) -> None:
    """A rollout whose process is gone has been brought to its end."""
    logger.warning(
        "rollout closed",
        extra={
            "job_arn": record.job_arn,
            "trajectory_id": record.trajectory_id,
            "was": record.state,
            **_ending(ending, told),
        },
    )


def swept(done: dict[str, int]) -> None:
    """One sweep is over."""
    logger.info("sweep ended", extra=done)


def _ending(ending: Ending, told: Report) -> dict[str, Any]:
    return {
        "status": ending.status,
        "reward": ending.reward,
        "turns": ending.turns,
        "seconds": ending.seconds,
        "tokens": ending.usage,
        "error_type": ending.error["type"] if ending.error else None,
        "boundary": ending.error["boundary"] if ending.error else None,
        "report": told.delivery,
    }


def refused(error: RolloutError) -> None:
    """A request was answered with a problem."""
    level = logger.error if error.status >= 500 else logger.info
    level(
        "request refused",
        extra={"error_type": error.slug, "boundary": error.boundary, "http_status": error.status},
    )


def crashed(error: BaseException) -> None:
    """A bug: its type and place. Its message stays out of the log, for it may quote content."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    logger.error(
        "unexpected error",
        extra={
            "exception": type(error).__name__,
            "frames": [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames],
        },
    )
