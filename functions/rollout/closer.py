"""A queue of "Durable Execution Status Change": closes the rollout of an execution that died."""

from __future__ import annotations

import json
from typing import Any

from rollout.errors import AlreadyRunning, NotFound
from rollout.service.close_abandoned import close_execution
from rollout.settings import settings
from rollout.telemetry import logs


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Close one trajectory with the trainer, once; a failure is raised, so that the message comes again.

    Args:
        event: of SQS, one message; its body is EventBridge's event. Source of their shapes: Lambda
            developer guide, "Using Lambda with Amazon SQS" and "Monitoring durable functions".
        context: Lambda's.
    """
    logs.begin(context)
    (message,) = event["Records"]
    detail = json.loads(message["body"])["detail"]
    try:
        report = close_execution(detail["durableExecutionArn"], detail["status"], settings())
    except (NotFound, AlreadyRunning) as error:
        return {"closed": "no", "why": error.detail}
    if report is None:
        return {"closed": "no", "why": f"an execution that is {detail['status']} left nothing open"}
    return {"closed": "yes", "report": report.delivery}
