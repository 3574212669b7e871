"""What arrives and what leaves: the platform's enforced RolloutRequest, and strict JSON.

Source of the field names: ``sagemaker.train.rft.models`` of ``sagemaker-train`` 1.27.0. Snake case is
the contract; the camelCase spellings that real senders use are accepted on input and never written.
Unknown fields are ignored, as the platform's own models ignore them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jiter
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from rollout.errors import ContractViolation, MalformedRequest, TooLarge

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class RolloutMetadata(BaseModel):
    """Where a rollout belongs and who is told about it."""

    job_arn: str = Field(
        description="ARN of the training job", validation_alias=AliasChoices("job_arn", "jobArn")
    )
    trajectory_id: str = Field(
        description="Unique id of the trajectory, 1 to 256 characters",
        validation_alias=AliasChoices("trajectory_id", "trajectoryId", "rolloutId"),
    )
    endpoint: str = Field(description="URL of the Job Runtime to sample from and report to")
    region: str = Field(default="us-west-2", description="AWS region of the job")


class InferenceParams(BaseModel):
    """The trainer's sampling parameters; an absent one leaves the model's default."""

    temperature: float | None = Field(default=None, description="Sampling temperature")
    max_tokens: int | None = Field(
        default=None,
        description="Most tokens to generate in one turn",
        validation_alias=AliasChoices("max_tokens", "maxTokens"),
    )
    top_p: float | None = Field(
        default=None,
        description="Nucleus sampling mass",
        validation_alias=AliasChoices("top_p", "topP"),
    )


class RolloutRequest(BaseModel):
    """One problem instance to play: the body of ``POST /rollout``."""

    instance: dict[str, Any] = Field(description="The problem, as the dataset holds it")
    metadata: RolloutMetadata
    inference_params: InferenceParams | None = Field(
        default=None, validation_alias=AliasChoices("inference_params", "inferenceParams")
    )
    model_name: str | None = Field(
        default=None,
        description="Value of `model` in each sampling request",
        validation_alias=AliasChoices("model_name", "modelName"),
    )
    model_endpoint: str | None = Field(
        default=None,
        description="A hosted SageMaker endpoint to sample from instead of the job's policy",
        validation_alias=AliasChoices("model_endpoint", "modelEndpoint"),
    )


def read_body(body: str | None, encoded: bool | None, limit: int) -> bytes:  # noqa: FBT001 - the event's flag
    """The raw bytes of an event's body, size-checked before anything parses them.

    Args:
        body: as the event carries it.
        encoded: the event's ``isBase64Encoded``.
        limit: bytes at most.

    Raises:
        TooLarge: more than ``limit`` bytes.
        MalformedRequest: not UTF-8 text, or not the base64 it claims to be.
    """
    text = body or ""
    if len(text) > (limit * 4 // 3 + 4 if encoded else limit):
        raise TooLarge(f"The body is larger than {limit} bytes.")
    try:
        data = base64.b64decode(text, validate=True) if encoded else text.encode()
    except ValueError:
        raise MalformedRequest(
            "The body is not UTF-8 text, or not the base64 it claims to be."
        ) from None
    if len(data) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    return data


def route_path(event: Mapping[str, Any]) -> Any:
    """The path of a route, without the base path that a custom domain has before it.

    ``resource`` is the route as the template has it, ``pathParameters`` what stands for its last part
    (API Gateway developer guide, "Input format of a Lambda function for proxy integration").
    """
    path = event.get("path")
    head, variable, name = str(event.get("resource") or "").partition("{")
    parameters: dict[str, Any] = event.get("pathParameters") or {}
    given = parameters.get(name.rstrip("+}")) if variable else ""
    if not isinstance(path, str) or (variable and not given):
        return path
    own = f"/{(head + str(given)).strip('/')}"
    return own if own != "/" and path.rstrip("/").endswith(own) else path


def prefers_async(headers: Mapping[str, Sequence[str]]) -> bool:
    """Whether the request asks with ``Prefer: respond-async`` (RFC 7240) to be accepted only.

    Several headers of the name are one list (RFC 9110, 5.3), and a comma inside quotes parts nothing.

    Args:
        headers: of the request, every value of each, the names in any case.
    """
    named = [many for name, many in headers.items() if name.lower() == "prefer"]
    values = [value for many in named for value in many if value]
    preferences = _QUOTED.sub('""', ",".join(values)).split(",")
    return any(
        re.split(r"[;=]", item)[0].strip().lower() == "respond-async" for item in preferences
    )


def parse_json(data: bytes) -> Any:
    """Parse JSON as strictly as a body from outside deserves.

    Refused: invalid UTF-8 and lone surrogates, a byte order mark, NaN and infinities, duplicate keys,
    more than 200 levels of nesting, integers of more than 4,300 digits.

    Raises:
        MalformedRequest: with line and column.
    """
    try:
        return jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        # jiter's message may quote a key; only the reason and position may leave this place.
        reason = str(error)
        if reason.startswith("Detected duplicate key"):
            reason = "duplicate key" + reason[reason.rfind(" at line") :]
        raise MalformedRequest(f"The body is not valid JSON: {reason}.") from None


def parse_rollout(data: bytes) -> RolloutRequest:
    """Parse the body of ``POST /rollout``.

    Args:
        data: the raw body, UTF-8 JSON.

    Raises:
        MalformedRequest: not the JSON we accept.
        ContractViolation: JSON, but not a RolloutRequest; ``facts["errors"]`` has the field paths.
    """
    return validate_rollout(parse_json(data))


def validate_rollout(document: Any) -> RolloutRequest:
    """Validate an already parsed document.

    Raises:
        ContractViolation: with the path and the reason of each field at fault.
    """
    try:
        return RolloutRequest.model_validate(document)
    except ValidationError as error:
        # include_input=False: the offending value may be a prompt.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        errors = [
            {
                "field": ".".join(str(part) for part in item["loc"]) or "(body)",
                "message": item["msg"],
            }
            for item in found[:20]
        ]
        first = errors[0]
        raise ContractViolation(
            f"{first['field']}: {first['message']}"
            + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""),
            errors=errors,
        ) from None
