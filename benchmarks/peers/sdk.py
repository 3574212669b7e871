"""The reference SDK's decorator around an agent with the OpenAI client, as its documentation shows."""

from __future__ import annotations

import json
import logging
from typing import Any

from openai import OpenAI
from sagemaker.train.rft import make_inference_headers
from sagemaker.train.rft.decorators import sagemaker_rft_handler
from sagemaker.train.rft.feedback import RolloutFeedbackClient
from sagemaker.train.rft.models import RolloutRequest

logging.disable(logging.CRITICAL)


@sagemaker_rft_handler
def agent(payload: dict[str, Any]) -> dict[str, Any]:
    """Sample some turns; the decorator reports."""
    metadata = payload["metadata"]
    policy = OpenAI(
        base_url=f"{metadata['endpoint']}/v1",
        api_key="token",
        default_headers=make_inference_headers(metadata),
    )
    for turn in range(payload["instance"].get("turns", 1)):
        messages: Any = [{"role": "user", "content": f"turn {turn}"}]
        policy.chat.completions.create(model="policy", messages=messages)
    return {"status": "ready", "reward": 1.0}


def play(metadata: dict[str, Any], turns: int) -> None:
    """Play a rollout of some turns and report it."""
    agent({"instance": {"turns": turns}, "metadata": metadata})


def report(metadata: dict[str, Any]) -> None:
    """Complete the trajectory and give it its reward."""
    RolloutFeedbackClient(metadata).report_complete(1.0)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event."""
    del context
    path = event["path"]
    if path == "/health":
        answer: Any = {"status": "healthy"}
    elif path == "/parse":
        request = RolloutRequest.model_validate_json(event["body"])
        answer = {"trajectory_id": request.metadata.trajectory_id}
    else:
        answer = agent(json.loads(event["body"]))
    return {"statusCode": 200, "body": json.dumps(answer)}
