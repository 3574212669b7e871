"""agentcore-rl-toolkit's app behind Mangum.

Its own entry points are POST /invocations and GET /ping. Its @rollout_entrypoint answers at once and
plays in the background, which Lambda would freeze; so this uses the @entrypoint beneath it, and
stores the result in S3 as the toolkit does. It has no report to a Job Runtime: it is given ours.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from agentcore_rl_toolkit import AgentCoreRLApp
from mangum import Mangum
from model import RolloutRequest

from job import play, report

__all__ = ["handler", "play", "report"]

logging.disable(logging.CRITICAL)
app = AgentCoreRLApp()
_OWN = {"/health": "/ping", "/rollout": "/invocations", "/parse": "/invocations"}


@app.entrypoint
def invoke(payload: dict[str, Any]) -> dict[str, Any]:
    """Play and store."""
    request = RolloutRequest.model_validate(payload)
    metadata = request.metadata.model_dump()
    if request.instance.get("parse_only"):
        return {"trajectory_id": metadata["trajectory_id"]}
    result = play(metadata)
    where = {"exp_id": "bench", "input_id": "1", "s3_bucket": os.environ["ROLLOUT_BUCKET"]}
    key = f"agentcore/{metadata['trajectory_id']}.json"
    app.save_result(result=result, rollout_config=where, result_key=key, payload=payload)
    return result


_asgi = Mangum(app, lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event."""
    return _asgi({**event, "path": _OWN[event["path"]]}, context)
