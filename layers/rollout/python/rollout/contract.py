"""What arrives and what leaves: the platform's enforced RolloutRequest, and strict JSON.

Source of the field names: ``sagemaker.train.rft.models`` of ``sagemaker-train`` 1.27.0. Snake case is
the contract; the camelCase spellings that real senders use are accepted on input and never written.
Unknown fields are ignored, as the platform's own models ignore them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import jiter
from pydantic import AliasChoices, BaseModel, Field, ValidationError, model_validator

from rollout.errors import ContractViolation, MalformedRequest, TooLarge

# Of a session's payload, what is no part of the instance.
_OF_SESSIONS = ("_config", "_agentcore_runtime", "_rollout")
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


def _is_none(value: Any) -> bool:
    # A request that does not name it is written, and hashed, as the platform's own models write it.
    return value is None


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
    training_session: str | None = Field(
        default=None,
        exclude_if=_is_none,
        description="A SageMaker training session to sample from instead of the job's policy",
        validation_alias=AliasChoices("training_session", "trainingSession"),
    )
    base_url: str | None = Field(
        default=None,
        exclude_if=_is_none,
        description="An OpenAI-compatible server to sample from instead of the job's policy",
        validation_alias=AliasChoices("base_url", "baseUrl"),
    )
    # In no dump, so that no row, object, checkpoint or hash can hold it.
    api_key: str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        pattern=r"^[\x21-\x7e]{1,4096}$",
        description="The key of base_url, where requests bring it; never stored",
        validation_alias=AliasChoices("api_key", "apiKey"),
    )

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if sum(map(bool, (self.model_endpoint, self.training_session, self.base_url))) > 1:
            raise ValueError("model_endpoint, training_session and base_url: name one of them")
        if self.api_key and not self.base_url:
            raise ValueError("api_key belongs to base_url, which is missing")
        return self


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


def _of_session(document: dict[str, Any]) -> dict[str, Any]:
    """The form that rollout sessions of agentcore-rl-toolkit send, as a RolloutRequest's.

    The instance's fields stand beside ``_config`` (``base_url``, ``model_id``, ``api_key``) and the
    envelope ``_agentcore_runtime``, whose ``invocation_id`` names the rollout. Source:
    ``runtime/protocol.py``, ``backends/experimental/sagemaker/rollout.py`` of agentcore-rl-toolkit 0.2.0.
    """
    config, envelope = document["_config"], document.get("_agentcore_runtime", {})
    for name, value in (("_config", config), ("_agentcore_runtime", envelope)):
        if not isinstance(value, dict):
            raise ContractViolation(f"{name}: must be an object.")
    if envelope.get("operation", "start") != "start":
        raise ContractViolation(
            "_agentcore_runtime.operation: only start is answered, and with the result; there is "
            "nothing to get later."
        )
    if not config.get("base_url"):
        raise ContractViolation("_config.base_url: is missing.")
    return {
        "instance": {k: v for k, v in document.items() if k not in _OF_SESSIONS},
        "metadata": {
            "job_arn": "",
            "trajectory_id": envelope.get("invocation_id") or _digest(document),
            "endpoint": "",
        },
        "inference_params": {k: config[k] for k in InferenceParams.model_fields if k in config},
        "model_name": config.get("model_id"),
        "base_url": config["base_url"],
        "api_key": config.get("api_key"),
    }


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


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
    """Validate an already parsed document: a RolloutRequest, or what a session of a trainer sends.

    Raises:
        ContractViolation: with the path and the reason of each field at fault.
    """
    if isinstance(document, dict) and "_config" in document and "metadata" not in document:
        document = _of_session(cast("dict[str, Any]", document))
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
