"""A handler with nothing under it: no framework; only /parse validates, with pydantic."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from job import play, report

__all__ = ["handler", "play", "report"]


@lru_cache(maxsize=1)
def _model() -> Any:
    from model import RolloutRequest

    return RolloutRequest


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event."""
    del context
    path = event["path"]
    if path == "/health":
        answer: dict[str, Any] = {"status": "healthy"}
    elif path == "/parse":
        request = _model().model_validate_json(event["body"])
        answer = {"trajectory_id": request.metadata.trajectory_id}
    else:
        answer = play(json.loads(event["body"])["metadata"])
    return {"statusCode": 200, "body": json.dumps(answer)}
