"""The entry point that a SageMaker AgentRFT job invokes: accepts a rollout, answers ``{}``."""

from __future__ import annotations

from typing import Any

from rollout.errors import RolloutError
from rollout.service.job_event import job_error, job_request
from rollout.service.start_durable import start_durable
from rollout.settings import settings
from rollout.telemetry import logs


def handler(event: Any, context: Any) -> dict[str, str]:
    """Accept one rollout; every failure is an answer, never an exception."""
    logs.begin(context)
    try:
        request = job_request(event, settings())
        logs.about(request.metadata.job_arn, request.metadata.trajectory_id)
        start_durable(request, settings(), entry_point="job")
    except RolloutError as error:
        logs.refused(error)
        return job_error(error)
    except Exception as error:  # noqa: BLE001 - the job reads a document, whatever happened
        logs.crashed(error)
        return job_error(RolloutError("An unexpected error; the log has its type and place."))
    return {}
