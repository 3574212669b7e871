"""The event with which an AgentRFT job invokes a Lambda function, and the answer it reads.

Event: ``{"prompt", "metadata": {"jobArn", "rolloutId", "endpoint"?, "region"?}, "inferenceParams"}``,
also wrapped as ``{"body": "<json>"}``. Answer: ``{}``, or ``{"errorType", "errorMessage"}`` with one of
four types. Source: SageMaker AI's documentation of ``CustomAgentLambdaConfig`` (DESIGN.md 2.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from rollout.contract import RolloutRequest, parse_json, read_body, validate_rollout
from rollout.errors import (
    ContractViolation,
    MalformedRequest,
    RequestError,
    RolloutError,
    Throttled,
    Untrusted,
)
from rollout.settings import Settings
from rollout.trust import job_runtime_endpoint


def job_request(event: Any, settings: Settings) -> RolloutRequest:
    """A job's event as the RolloutRequest it stands for.

    ``prompt`` becomes the instance: the object in it where it is a JSON object, else
    ``{"prompt": <string>}``. An absent endpoint becomes ``ROLLOUT_JOB_ENDPOINT``, or else the Job
    Runtime of the job's region.

    Raises:
        MalformedRequest: the wrapped body is not JSON, or the event holds NaN or a lone surrogate.
        ContractViolation: naming the field at fault.
    """
    document = _unwrap(event, settings)
    if "prompt" not in document:
        raise ContractViolation("prompt: the dataset row's prompt is missing.")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise ContractViolation("metadata: an object with jobArn and rolloutId is required.")
    where = dict(cast("dict[str, Any]", metadata))
    if not where.get("endpoint"):
        where["endpoint"] = settings.trust.job_endpoint or _regional(where)
    if not where.get("region"):
        where.pop("region", None)
    return validate_rollout(
        {
            "instance": instance_of(document["prompt"]),
            "metadata": where,
            "inference_params": document.get("inferenceParams", document.get("inference_params")),
        }
    )


def job_error(error: RolloutError) -> dict[str, str]:
    """The document a job reads instead of an exception."""
    kind = "InternalServerError"
    if isinstance(error, Throttled):
        kind = "Throttling"
    elif isinstance(error, Untrusted):
        kind = "AccessDenied"
    elif isinstance(error, RequestError):
        kind = "ValidationError"
    return {"errorType": kind, "errorMessage": error.detail}


def _unwrap(event: Any, settings: Settings) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise ContractViolation("The event is not a JSON object.")
    outer = cast("dict[str, Any]", event)
    if "body" in outer and "metadata" not in outer:
        body = outer["body"]
        if isinstance(body, str):
            data = read_body(body, bool(outer.get("isBase64Encoded")), settings.max_body_bytes)
        else:
            data = _encoded(body)
    else:
        # The runtime has parsed the event leniently; it goes once through the strict parser.
        data = _encoded(outer)
    document = parse_json(data)
    if not isinstance(document, dict):
        raise ContractViolation("The body is not a JSON object.")
    return cast("dict[str, Any]", document)


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise MalformedRequest(
            "The event holds NaN, an infinity, a lone surrogate or too deep a nesting."
        ) from None


def instance_of(prompt: Any) -> dict[str, Any]:
    """The instance that a dataset row's ``prompt`` stands for; see :func:`job_request`."""
    if isinstance(prompt, dict):
        return cast("dict[str, Any]", prompt)
    if isinstance(prompt, str):
        try:
            packed = parse_json(prompt.encode())
        except MalformedRequest:
            packed = None
        if isinstance(packed, dict):
            return cast("dict[str, Any]", packed)
    return {"prompt": prompt}


def _regional(metadata: Mapping[str, Any]) -> str:
    """The Job Runtime of the job's region; trust checks the ARN itself."""
    arn = str(metadata.get("job_arn") or metadata.get("jobArn") or "").split(":")
    partition, region = (arn[1], arn[3]) if len(arn) > 3 else ("aws", "")
    return job_runtime_endpoint(str(metadata.get("region") or region), partition=partition)
