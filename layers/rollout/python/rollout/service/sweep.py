"""Finishing what was left lying: what never began, what was not reported, what died."""

from __future__ import annotations

import time
from collections.abc import Callable

from rollout.errors import ReportUndelivered, RolloutError, Unavailable
from rollout.service.close_abandoned import close_abandoned, has_ended, why_silent
from rollout.service.health import check
from rollout.service.start_durable import start
from rollout.settings import Settings
from rollout.storage.record import Record
from rollout.storage.records import Acceptance, Records
from rollout.telemetry import logs

# Rollouts of one shard and run; seconds until what was taken up is due again; seconds kept at the end.
_LIMIT, _DUE_AGAIN, _LAST = 100, 300.0, 30.0


def sweep(settings: Settings, time_left: Callable[[], float]) -> dict[str, int]:
    """Start what was accepted and never began, deliver what was scored, close what died.

    Args:
        time_left: seconds until the Lambda is stopped.

    Returns:
        How many rollouts were ``started``, ``delivered`` or ``closed``; ``left`` could not be
        finished now and are due again in five minutes.
    """
    healthy = _healthy(settings)
    done = {"started": 0, "delivered": 0, "closed": 0, "left": 0}
    records = Records(settings)
    silent: set[str] = set()
    for record in records.due(time.time(), _LIMIT):
        if time_left() < _LAST:
            break
        if record.job_arn in silent or not _claimed(records, record):
            continue
        logs.about(record.job_arn, record.trajectory_id)
        try:
            done[_finish(record, settings)] += 1
        except RolloutError as error:
            logs.refused(error)
            done["left"] += 1
            if isinstance(error, ReportUndelivered):
                # One trainer that does not answer must not hold up the others' rollouts.
                silent.add(record.job_arn)
        except Exception as error:  # noqa: BLE001 - a bug about one row must not hold up the others
            logs.crashed(error)
            done["left"] += 1
    logs.swept(done, healthy=healthy)
    return done


def _claimed(records: Records, record: Record) -> bool:
    try:
        return records.claim(record, _DUE_AGAIN)
    except Unavailable:
        return False


def _healthy(settings: Settings) -> bool:
    """What ``GET /health`` looks at; that this sweep reached the table is seen by its result at all."""
    try:
        check(settings)
    except RolloutError as error:
        logs.refused(error)
        return False
    return True


def _finish(record: Record, settings: Settings) -> str:
    if record.state == "accepted":
        started = start(Acceptance.of(record), settings)
        ended = has_ended(started, settings) if started else ""
        if not ended:
            return "started"
        # It has begun and died before it took the rollout up, and nobody was told.
        close_abandoned(record, settings, f"Its execution ended before it began ({ended}).")
        return "closed"
    # A reward that was computed is delivered, whatever became of who computed it.
    why = why_silent(record, settings) if record.state == "running" else ""
    if why is None:
        return "left"
    report = close_abandoned(record, settings, why)
    if report.delivery == "pending":
        raise ReportUndelivered(report.detail)
    return "delivered" if record.state == "scored" else "closed"
