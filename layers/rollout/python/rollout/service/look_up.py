"""What is known of one rollout, for ``GET /rollouts/{trajectory_id}``."""

from __future__ import annotations

from typing import Any

from rollout.settings import Settings
from rollout.storage.records import Records


def summary(job_arn: str, trajectory_id: str, settings: Settings) -> dict[str, Any]:
    """A rollout's state, and its result and report once there are any.

    Raises:
        NotFound: it was never accepted, or its retention is over.
    """
    return Records(settings).get(job_arn, trajectory_id).summary()
