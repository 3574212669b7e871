"""The error tree as HTTP: ``application/problem+json`` (RFC 9457). The one place that maps it."""

from __future__ import annotations

import json
from typing import Any

from rollout.errors import RolloutError

CONTENT_TYPE = "application/problem+json"


def problem(error: RolloutError) -> tuple[int, dict[str, str], str]:
    """An error as status, headers and body.

    Returns:
        ``type`` (a stable ``urn:rollout:problem:<slug>``), ``slug``, ``title``, ``status``, ``boundary``,
        ``detail``, and the error's own facts, e.g. ``errors`` with field paths for a contract violation.
    """
    document: dict[str, Any] = {
        **error.facts,
        **error.failure().document(),
        "status": error.status,
    }
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif error.status in (429, 503):
        headers["Retry-After"] = "5"
    return error.status, headers, json.dumps(document, ensure_ascii=False)
