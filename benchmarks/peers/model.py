"""The RolloutRequest as the platform publishes it, for the peers that validate."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class RolloutMetadata(BaseModel):
    """Where a rollout belongs."""

    job_arn: str
    trajectory_id: str
    endpoint: str
    region: str = "us-west-2"


class InferenceParams(BaseModel):
    """Sampling parameters."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None


class RolloutRequest(BaseModel):
    """One problem."""

    instance: dict[str, Any]
    metadata: RolloutMetadata
    inference_params: InferenceParams | None = None
    model_name: str | None = None
    model_endpoint: str | None = None
