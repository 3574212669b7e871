"""Scheduled: finishes what was left lying, counts it, and says that the stack is healthy."""

from __future__ import annotations

from typing import Any

from rollout.service.sweep import sweep
from rollout.settings import settings
from rollout.telemetry import logs


def handler(event: Any, context: Any) -> dict[str, int]:
    """Start what was accepted and never began, deliver what was scored, close what died.

    Returns:
        How many rollouts were ``started``, ``delivered``, ``closed``, or ``left`` for the next sweep.
    """
    del event
    logs.begin(context)
    return sweep(settings(), lambda: context.get_remaining_time_in_millis() / 1000)
