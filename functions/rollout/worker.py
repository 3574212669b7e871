"""The durable execution of one rollout; started by name through ``rollout.service.start_durable``."""

from __future__ import annotations

from typing import Any

from aws_durable_execution_sdk_python import (
    DurableContext,
    durable_execution,  # pyright: ignore[reportUnknownVariableType] - a decorator without types
)

from rollout.service.play_durable import play_durable
from rollout.settings import settings
from rollout.telemetry import logs


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, str]:
    """Play one accepted rollout, or go on where an earlier invocation stopped.

    Args:
        event: ``{"job_arn", "trajectory_id", "attempt"}``; the record holds the rest.
    """
    logs.begin(context.lambda_context)
    return play_durable(event, context, settings())
