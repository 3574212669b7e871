"""Bringing to its end a rollout whose process is gone, for whichever entry point comes across it."""

from __future__ import annotations

import json
import time
from typing import Any

from rollout import trust
from rollout.aws import clients
from rollout.aws.feedback import feedback_for
from rollout.errors import Abandoned, AlreadyRunning, NotFound, Unavailable, Untrusted
from rollout.feedback import Feedback
from rollout.results import Report, Result, abandoned
from rollout.run import conclude, deliver
from rollout.settings import Settings
from rollout.steps import InlineSteps, Steps
from rollout.storage.record import Record, epoch
from rollout.storage.records import Acceptance, Close, Deliver, Records
from rollout.telemetry import logs

# Seconds one rollout's report is repeated here; what is left the next sweep takes up.
_RETRY_SECONDS = 15.0
# How often a rollout is looked at anew that changes while it is being closed.
_MOST_LOOKS = 5
# Why a rollout is closed, by the status in which its durable execution ended.
_WHY = {
    "FAILED": "The durable execution that played this rollout failed.",
    "TIMED_OUT": "The durable execution that played this rollout ran out of its time.",
    "STOPPED": "The durable execution that played this rollout was stopped.",
    # Only an execution that has ended can be deleted.
    "DELETING": "The durable execution that played this rollout was deleted.",
}
_SILENT = "The process that played this rollout has not been heard of since its lease ended."
_PAUSED = ("PAUSING", "PAUSED")


def close_execution(execution_arn: str, status: str, settings: Settings) -> Report | None:
    """Close the rollout of a durable execution that ended without an answer.

    Args:
        status: how it ended, in the words of Lambda's event.

    Returns:
        What became of its report; None where nothing had to be closed.

    Raises:
        NotFound: no such execution, or no such rollout.
        Unavailable: the records did not answer.
    """
    why = _WHY.get(status)
    if why is None:
        return None
    acceptance = _started(execution_arn, settings)
    where = (acceptance.job_arn, acceptance.trajectory_id)
    logs.about(*where, execution=acceptance.execution, execution_arn=execution_arn)
    for _ in range(_MOST_LOOKS):
        record = Records(settings).get(*where)
        if record.terminal or record.attempt != acceptance.attempt:
            return None
        try:
            return close_abandoned(record, settings, why)
        except (
            AlreadyRunning
        ):  # it has changed since it was read; what it is now has to be finished
            continue
    raise Unavailable("The rollout changes while it is being closed; the event comes again.")


def close_abandoned(record: Record, settings: Settings, why: str) -> Report:
    """Close a rollout with the trainer: deliver the result it has, or report that it died.

    Args:
        record: a rollout that has not ended and that nobody plays any more.
        why: what became of its process, for the record.

    Raises:
        AlreadyRunning: somebody else was quicker; nothing was sent.
        Unavailable: the records did not answer.
    """
    left = Records(settings).take(record)
    steps = InlineSteps(
        lambda: None, time.time() + _RETRY_SECONDS, reported_before=left.record.sampling
    )
    where = left.lease.rollout.destination
    try:
        if where.job_arn:
            trust.check_metadata(left.lease.rollout.request.metadata, settings)
    except Untrusted as error:  # the settings have changed since it was accepted
        result, report = _result(left, Abandoned(why)), Report("refused", error.detail)
        if isinstance(left, Close):
            left.lease.scored(result)
        left.lease.reported(result, report)
    else:
        feedback = feedback_for(where)
        result, report = finish(left, steps=steps, feedback=feedback, why=Abandoned(why))
    logs.closed(record.state, result, report)
    return report


def finish(
    left: Deliver | Close,
    *,
    steps: Steps,
    feedback: Feedback | None,
    why: Abandoned | None = None,
) -> tuple[Result, Report]:
    """Deliver the result a rollout has; one that has none died, and is reported so.

    Args:
        left: what is left to do with it.
        why: what became of the process, if more is known than that it died.
    """
    result = _result(left, why)
    send = conclude if isinstance(left, Close) else deliver
    return result, send(result, steps=steps, feedback=feedback, ledger=left.lease)


def _result(left: Deliver | Close, why: Abandoned | None) -> Result:
    if isinstance(left, Deliver):
        return left.record.result()
    # The process may have told the trainer while the table did not answer; nothing else may be said then.
    noted = left.lease.noted() if left.record.sampling else None
    return noted or abandoned(why, sampled=left.record.sampling)


def why_silent(record: Record, settings: Settings) -> str | None:
    """What became of the process of a rollout whose lease is over.

    A durable execution that somebody has paused may go on: it is left alone while the job waits for its
    reward. After ``rollout_timeout`` nobody does, and a rollout must not stay open for good.

    Returns:
        Why the rollout is to be closed; None where it is only paused.
    """
    execution_arn = record.row.get("execution_arn")
    if not execution_arn:
        return _SILENT
    try:
        status = str(_execution(execution_arn, settings).get("Status", ""))
    except NotFound:
        return _WHY["DELETING"]
    except Unavailable:  # a lease that is over is reason enough
        return _SILENT
    if status not in _PAUSED:
        return _WHY.get(status, _SILENT)
    if time.time() < epoch(record.row["accepted_at"]) + settings.times.job_timeout:
        return None
    return "The durable execution that plays this rollout was paused until the job's time was over."


def has_ended(execution_arn: str, settings: Settings) -> str:
    """The status in which a durable execution has ended without an answer; empty where it has not.

    Raises:
        Unavailable: Lambda did not say.
    """
    status = str(_execution(execution_arn, settings).get("Status", ""))
    return status if status in _WHY else ""


def _started(execution_arn: str, settings: Settings) -> Acceptance:
    """What an execution was started with."""
    return Acceptance(**json.loads(_execution(execution_arn, settings)["InputPayload"]))


def _execution(execution_arn: str, settings: Settings) -> dict[str, Any]:
    client = clients.client("lambda", settings.region, read_timeout=10)
    try:
        return client.get_durable_execution(DurableExecutionArn=execution_arn)
    except client.exceptions.ResourceNotFoundException:
        raise NotFound("Lambda knows no such execution; the sweep closes its rollout.") from None
    except Exception as error:  # noqa: BLE001 - refused, lost or garbled: it did not say
        raise Unavailable(f"Lambda did not answer ({type(error).__name__}).") from None
