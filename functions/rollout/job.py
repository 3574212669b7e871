"""The door a SageMaker AgentRFT job invokes directly: accepts a rollout, answers ``{}``."""

from __future__ import annotations

from typing import Any

from rollout.errors import RolloutError
from rollout.service.job_event import job_error, job_request
from rollout.service.start_durable import dispatch
from rollout.settings import settings
from rollout.telemetry.logs import logs as telemetry


def handler(event: Any, context: Any) -> dict[str, str]:
    """Accept one rollout; every failure is an answer, never an exception."""
    telemetry.begin(context)
    try:
        request = job_request(event, settings())
        telemetry.about(request.metadata.job_arn, request.metadata.trajectory_id)
        telemetry.accepted(dispatch(request, settings(), door="job"))
    except RolloutError as error:
        telemetry.refused(error)
        return job_error(error)
    except Exception as error:  # noqa: BLE001 - the job reads a document, whatever happened
        telemetry.crashed(error)
        return job_error(RolloutError("An unexpected error; the log has its type and place."))
    return {}
