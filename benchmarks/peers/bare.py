"""A handler with nothing under it: no framework, no validation."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.job import play


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a proxy event."""
    del context
    if event["path"] == "/health":
        answer: dict[str, Any] = {"status": "healthy"}
    else:
        answer = play(json.loads(event["body"])["metadata"])
    return {"statusCode": 200, "body": json.dumps(answer)}
