"""EventBridge "Durable Execution Status Change": closes the rollout of an execution that died."""

from __future__ import annotations

import json
from typing import Any

from rollout.aws import clients
from rollout.errors import AlreadyRunning, NotFound
from rollout.service.close_abandoned import settle
from rollout.service.start_durable import execution_name
from rollout.settings import settings
from rollout.storage.records import Records
from rollout.telemetry import logs

_WHY = {
    "FAILED": "The durable execution that played this rollout failed.",
    "TIMED_OUT": "The durable execution that played this rollout ran out of its time.",
    "STOPPED": "The durable execution that played this rollout was stopped.",
}


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Close one trajectory with the trainer, once; a failure is raised, so that the event comes again.

    Source of the event's shape: Lambda developer guide, "Monitoring durable functions".
    """
    logs.begin(context)
    detail = event["detail"]
    why = _WHY.get(detail["status"])
    if why is None:
        return {"closed": "no", "why": f"status {detail['status']} needs no closing"}
    try:
        execution = detail["durableExecutionArn"]
        started = _started(execution)
        name = execution_name(**started)
        where = (started["job_arn"], started["trajectory_id"])
        logs.about(*where, execution=name, execution_arn=execution)
        record = Records(settings()).get(*where)
        if record.terminal or record.attempt != started["attempt"]:
            return {"closed": "no", "why": f"the rollout is {record.state}"}
        result, told = settle(record, settings(), why)
    except (NotFound, AlreadyRunning) as error:
        return {"closed": "no", "why": error.detail}
    logs.closed(record.state, result, told)
    return {"closed": "yes", "report": told.delivery}


def _started(arn: str) -> dict[str, Any]:
    """What the execution was started with: job, trajectory and attempt."""
    client = clients.client("lambda", settings().region)
    try:
        return json.loads(client.get_durable_execution(DurableExecutionArn=arn)["InputPayload"])
    except client.exceptions.ResourceNotFoundException:
        raise NotFound("Lambda knows no such execution; the sweep closes its rollout.") from None
