"""EventBridge "Durable Execution Status Change": closes the rollout of an execution that died."""

from __future__ import annotations

from typing import Any

from rollout.errors import AlreadyRunning, NotFound
from rollout.service.close_abandoned import close_execution
from rollout.settings import settings
from rollout.telemetry import logs


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Close one trajectory with the trainer, once; a failure is raised, so that the event comes again.

    Source of the event's shape: Lambda developer guide, "Monitoring durable functions".
    """
    logs.begin(context)
    detail = event["detail"]
    try:
        report = close_execution(detail["durableExecutionArn"], detail["status"], settings())
    except (NotFound, AlreadyRunning) as error:
        return {"closed": "no", "why": error.detail}
    if report is None:
        return {"closed": "no", "why": f"an execution that is {detail['status']} left nothing open"}
    return {"closed": "yes", "report": report.delivery}
