"""Bringing to its end a rollout whose process is gone, for whichever door comes across it."""

from __future__ import annotations

import time

from rollout import trust
from rollout.aws.feedback import feedback_for
from rollout.errors import Abandoned, Untrusted
from rollout.feedback import Feedback
from rollout.results import Report, Result, abandoned
from rollout.run import deliver
from rollout.settings import Settings
from rollout.steps import InlineSteps, Steps
from rollout.storage.records import Hold, Record, Records

# Seconds one rollout's report is repeated here; what is left the next sweep takes up.
_PATIENCE = 15.0


def settle(record: Record, settings: Settings, why: str) -> tuple[Result, Report]:
    """Close a rollout with the trainer: deliver the result it has, or report that it died.

    Args:
        record: a rollout that has not ended and that nobody plays any more.
        why: what became of its process, for the record.

    Raises:
        AlreadyRunning: somebody else was quicker; nothing was sent.
        Unavailable: the records did not answer.
    """
    hold = Records(settings).take(record)
    steps = InlineSteps(lambda: None, time.time() + _PATIENCE)
    where = hold.rollout.destination
    try:
        if where.job_arn:
            trust.check_metadata(hold.rollout.request.metadata, settings)
    except Untrusted as error:  # the settings have changed since it was accepted
        result, refused = _result(hold, Abandoned(why)), Report("refused", error.detail)
        hold.reported(result, refused)
        return result, refused
    return finish(hold, steps=steps, feedback=feedback_for(where), why=Abandoned(why))


def finish(
    hold: Hold, *, steps: Steps, feedback: Feedback | None, why: Abandoned | None = None
) -> tuple[Result, Report]:
    """Deliver the result a rollout has; one that has none died, and is reported so.

    Args:
        hold: on a row that was read.
        why: what became of the process, if more is known than that it died.
    """
    result = _result(hold, why)
    return result, deliver(result, steps=steps, feedback=feedback, ledger=hold)


def _result(hold: Hold, why: Abandoned | None) -> Result:
    assert hold.known is not None  # noqa: S101 - a hold that was taken to finish has read its row
    if hold.known.state == "scored":
        return hold.known.result()
    result = abandoned(why)
    hold.scored(result)
    return result
