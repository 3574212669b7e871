"""Logs: one JSON line per event with ids, sizes and timings, and never any content."""

from __future__ import annotations

import traceback
from typing import Any

from aws_lambda_powertools.logging import Logger

from rollout.errors import RolloutError
from rollout.inline import Played

logger = Logger(service="rollout")


def begin(context: Any) -> None:
    """Start the log lines of one invocation."""
    logger.thread_safe_clear_keys()
    logger.thread_safe_append_keys(request_id=getattr(context, "aws_request_id", ""))


def ended(played: Played) -> None:
    """One rollout has been answered."""
    ending, where = played.ending, played.rollout.destination
    logger.info(
        "rollout ended",
        extra={
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "group": played.rollout.group,
            "status": ending.status,
            "reward": ending.reward,
            "turns": ending.turns,
            "seconds": ending.seconds,
            "tokens": ending.usage,
            "error_type": ending.error["type"] if ending.error else None,
            "boundary": ending.error["boundary"] if ending.error else None,
            "report": played.report.delivery,
            "repeated": played.repeated,
        },
    )


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
