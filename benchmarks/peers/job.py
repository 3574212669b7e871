"""What every peer's /rollout does: sample one turn, complete, reward. boto3 is imported when needed."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=8)
def client(region: str, endpoint: str) -> Any:
    """One Job Runtime client per process, with as many connections as ours has."""
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=64, retries={"total_max_attempts": 1})
    made: Any = boto3.client
    return made("sagemakerjobruntime", region, endpoint_url=endpoint, config=config)


def sample(metadata: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Sample one turn and return its message."""
    runtime = client(metadata["region"], metadata["endpoint"])
    body = json.dumps({"messages": messages}).encode()
    answer = runtime.sample(
        JobArn=metadata["job_arn"], TrajectoryId=metadata["trajectory_id"], Body=body
    )
    return json.loads(answer["Body"].read())["choices"][0]["message"]


def report(metadata: dict[str, Any]) -> None:
    """Complete the trajectory and give it its reward."""
    runtime = client(metadata["region"], metadata["endpoint"])
    names = {"JobArn": metadata["job_arn"], "TrajectoryId": metadata["trajectory_id"]}
    runtime.complete_rollout(**names, Status="ready")
    runtime.update_reward(**names, Rewards=[1.0])


def play(metadata: dict[str, Any], turns: int = 1, grow: Any = None) -> dict[str, Any]:
    """Play a rollout of some turns and report it.

    Args:
        metadata: of the rollout.
        turns: how many.
        grow: whether each turn goes on from the one before.
    """
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        if not grow:
            messages = []
        messages.append({"role": "user", "content": f"turn {turn}"})
        messages.append(sample(metadata, messages))
    report(metadata)
    return {"status": "ready", "reward": 1.0}
