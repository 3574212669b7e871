"""Bringing to its end a rollout whose process is gone: the closer's and the sweep's business."""

from __future__ import annotations

import time

from rollout import trust
from rollout.errors import Abandoned, Untrusted
from rollout.feedback import feedback_for
from rollout.records import Record, Records
from rollout.run import Ending, Report, abandoned, report
from rollout.settings import Settings
from rollout.steps import InlineSteps

# Seconds one rollout's report is repeated here; what is left the next sweep takes up.
_PATIENCE = 15.0


def settle(record: Record, settings: Settings, why: str) -> tuple[Ending, Report]:
    """Close a rollout with the trainer: deliver the ending it has, or report that it died.

    Args:
        record: a rollout that has not ended and that nobody plays any more.
        why: what became of its process, for the record.

    Raises:
        AlreadyRunning: somebody else was quicker; nothing was sent.
        Unavailable: the records did not answer.
    """
    hold = Records(settings).take(record)
    ending = record.ending()
    if record.state != "scored":
        ending = abandoned(Abandoned(why))
        hold.scored(ending)
    steps = InlineSteps(lambda: None, time.time() + _PATIENCE)
    try:
        where = hold.rollout.destination
        if where.job_arn:
            trust.check_metadata(hold.rollout.request.metadata, settings)
        feedback = feedback_for(where)
    except Untrusted as error:  # the settings have changed since it was accepted
        refused = Report("refused", error.detail)
        hold.reported(ending, refused)
        return ending, refused
    return ending, report(ending, steps=steps, feedback=feedback, ledger=hold)
