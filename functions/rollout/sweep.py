"""Scheduled: finishes what was left lying, counts it, and says that the stack is healthy."""

from __future__ import annotations

import time
from typing import Any

from rollout.errors import RolloutError
from rollout.service.close_abandoned import settle
from rollout.service.health import check
from rollout.service.start_durable import start
from rollout.settings import settings
from rollout.storage.records import Record, Records
from rollout.telemetry import logs

# Rollouts of one shard and run; seconds until what was taken up is due again; seconds kept at the end.
_LIMIT, _AGAIN, _LAST = 100, 300.0, 30.0
_WHY = "The process that played this rollout has not been heard of since its lease ended."


def handler(event: Any, context: Any) -> dict[str, int]:
    """Start what was accepted and never began, deliver what was scored, close what died.

    Returns:
        How many rollouts were ``started``, ``delivered`` or ``closed``; ``left`` could not be
        finished now and are due again in five minutes.
    """
    del event
    logs.begin(context)
    healthy = _healthy()
    done = {"started": 0, "delivered": 0, "closed": 0, "left": 0}
    records = Records(settings())
    for record in records.due(time.time(), _LIMIT):
        if context.get_remaining_time_in_millis() < _LAST * 1000:
            break
        if not records.claim(record, _AGAIN):
            continue
        logs.about(record.job_arn, record.trajectory_id)
        try:
            done[_finish(record)] += 1
        except RolloutError as error:
            logs.refused(error)
            done["left"] += 1
    logs.swept(done, healthy=healthy)
    return done


def _healthy() -> bool:
    """What ``GET /health`` looks at; that this sweep reached the table is seen by its result at all."""
    try:
        check(settings())
    except RolloutError as error:
        logs.refused(error)
        return False
    return True


def _finish(record: Record) -> str:
    if record.state == "accepted":
        start(record.job_arn, record.trajectory_id, record.attempt, settings())
        return "started"
    result, told = settle(record, settings(), _WHY)
    logs.closed(record.state, result, told)
    if told.delivery == "pending":
        return "left"
    return "delivered" if record.state == "scored" else "closed"
