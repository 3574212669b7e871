"""One rollout inside the request that asks for it: accept once, play, report, answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from rollout import trust
from rollout.agent import load_agent
from rollout.aws.feedback import feedback_for
from rollout.aws.job_runtime import policy_for
from rollout.contract import RolloutRequest
from rollout.errors import OutOfTime, ReportRefused, ReportUndelivered
from rollout.results import Report, Result, Rollout
from rollout.service.close_abandoned import finish
from rollout.settings import Settings
from rollout.steps import InlineSteps
from rollout.storage.drain import check_open
from rollout.storage.records import Record, Records, Verdict, bounded
from rollout.telemetry.traces import run

# What is kept of a Lambda's own time limit for answering, seconds.
_ANSWER = 1.0


@dataclass(frozen=True, slots=True)
class Played:
    """A rollout that ended within its request, now or before; the verdict says which."""

    rollout: Rollout
    result: Result
    report: Report
    verdict: Verdict

    def answer(self) -> dict[str, Any]:
        """The body of the answer.

        Raises:
            OutOfTime: the rollout failed because its time was over (the trainer has been told).
            ReportUndelivered: the result is stored, the trainer does not know it yet.
        """
        answer = self.result.answer(self.rollout.destination.trajectory_id)
        if not bounded(self.result.output, ""):  # as in the answer to a repeat, which the row gives
            answer["output"] = None
        if self.report.delivery == "pending":
            raise ReportUndelivered(
                f"{self.report.detail} The result is kept; send the same request again to deliver it.",
                retry_after=5,
                result=answer,
            )
        error = self.result.error
        if self.result.status == "failed" and error and error["type"].endswith(OutOfTime.slug):
            raise OutOfTime(
                error["detail"] + " The trainer was told; raise ROLLOUT_INLINE_BUDGET, or give "
                "the agent less to do.",
                result=answer,
            )
        if self.report.delivery == "refused":
            answer |= {"status": "failed", "error": _refusal(self.report)}
        return answer


def play_inline(request: RolloutRequest, settings: Settings, time_left: float) -> Played:
    """Play one rollout now, unless it was played before.

    Args:
        request: what arrived, parsed.
        time_left: seconds until the Lambda is stopped.

    Raises:
        Untrusted, AgentUnavailable, AlreadyRunning, BodyMismatch, Draining, Unavailable: nothing was
            accepted.
    """
    began = time.time()
    rollout = Rollout.of(request, trust.check(request, settings))
    check_open(settings)
    agent = load_agent(settings.agent)
    end = began + min(settings.inline_budget, time_left - _ANSWER)
    lease = max(end - began, 0) + 2 * _ANSWER
    verdict, hold = Records(settings).accept(rollout, lease=lease, door="api")
    steps = InlineSteps(hold.sampling, report_deadline=end)
    feedback = feedback_for(rollout.destination)
    if verdict == "play":
        result, told = run(
            rollout,
            agent=agent,
            policy=policy_for(rollout.destination, settings),
            steps=steps,
            feedback=feedback,
            ledger=hold,
            settings=settings,
            deadline=end - settings.report_margin,
        )
        return Played(rollout, result, told, verdict)
    assert hold.known is not None  # noqa: S101 - every other verdict comes from a row that was read
    if verdict == "answer":
        return Played(rollout, hold.known.result(), _report(hold.known), verdict)
    result, told = finish(hold, steps=steps, feedback=feedback)
    return Played(rollout, result, told, verdict)


def _report(record: Record) -> Report:
    told = json.loads(record.row.get("report", "{}"))
    return Report(told.get("delivery", "delivered"), told.get("detail", ""))


def _refusal(told: Report) -> dict[str, str]:
    return ReportRefused(told.detail).document()
