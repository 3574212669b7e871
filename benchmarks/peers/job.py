"""What every peer's /rollout does: sample one turn, complete, reward. boto3 is imported when needed."""

from __future__ import annotations

import json
from typing import Any


def play(metadata: Any) -> dict[str, Any]:
    """Play a one-turn rollout with a boto3 client made now."""
    import boto3

    client: Any = boto3.client(
        "sagemakerjobruntime", metadata["region"], endpoint_url=metadata["endpoint"]
    )
    names = {"JobArn": metadata["job_arn"], "TrajectoryId": metadata["trajectory_id"]}
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    json.loads(client.sample(**names, Body=body)["Body"].read())
    client.complete_rollout(**names, Status="ready")
    client.update_reward(**names, Rewards=[1.0])
    return {"status": "ready", "reward": 1.0}
