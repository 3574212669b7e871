"""One rollout inside the request that asks for it: accept once, play, report, answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rollout import trust
from rollout.agent import Agent, load_agent
from rollout.aws.feedback import feedback_for
from rollout.aws.job_runtime import policy_for
from rollout.contract import RolloutRequest
from rollout.errors import (
    OutOfTime,
    ReportRefused,
    ReportUndelivered,
    RolloutError,
    Unavailable,
)
from rollout.results import Report, Result, Rollout
from rollout.run import run
from rollout.service.close_abandoned import finish
from rollout.settings import Settings
from rollout.steps import InlineSteps
from rollout.storage.drain import check_open
from rollout.storage.record import Lease, bounded
from rollout.storage.records import Answer, Decision, Deliver, Play, Records
from rollout.telemetry import logs, traces

# What is kept of a Lambda's own time limit for answering, seconds.
_ANSWER = 1.0


@dataclass(frozen=True, slots=True)
class Played:
    """A rollout that ended within its request, now or before."""

    rollout: Rollout
    result: Result
    report: Report

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
        failure = self.result.failure
        if self.result.status == "failed" and failure and failure.slug == OutOfTime.slug:
            raise OutOfTime(
                failure.detail + " The trainer was told; raise ROLLOUT_INLINE_BUDGET, or give "
                "the agent less to do.",
                result=answer,
            )
        if self.report.delivery == "refused":
            refusal = ReportRefused(self.report.detail).failure()
            answer |= {"status": "failed", "error": refusal.document()}
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
    end = began + min(settings.times.inline_budget, time_left - _ANSWER)
    lease_seconds = max(end - began, 0) + 2 * _ANSWER
    decision = Records(settings).accept(rollout, lease_seconds=lease_seconds, entry_point="api")
    did, result, report = _carry_out(decision, rollout, agent, settings, end)
    logs.inline(rollout, result, report, did=did)
    return Played(rollout, result, report)


def _carry_out(
    decision: Decision, rollout: Rollout, agent: Agent, settings: Settings, end: float
) -> tuple[logs.Did, Result, Report]:
    """Do what is left to do with a rollout, until ``end`` (epoch seconds) at the latest."""
    if isinstance(decision, Answer):
        return "answered", decision.record.result(), decision.record.report()
    steps = InlineSteps(
        decision.lease.sampling, report_deadline=end, reported_before=not isinstance(decision, Play)
    )
    feedback = feedback_for(rollout.destination)
    if isinstance(decision, Play):
        with traces.trace(rollout, agent, settings) as trace, _given_back(decision.lease, steps):
            result, report = run(
                rollout,
                agent=agent,
                policy=trace.policy(policy_for(rollout.destination, settings)),
                steps=steps,
                feedback=trace.feedback(feedback),
                ledger=decision.lease,
                limits=settings.limits,
                deadline=end - settings.times.report_margin,
            )
            trace.ended(result, report)
        return "played", result, report
    did = "delivered" if isinstance(decision, Deliver) else "closed"
    return did, *finish(decision, steps=steps, feedback=feedback)


@contextmanager
def _given_back(lease: Lease, steps: InlineSteps) -> Generator[None]:
    """Give a rollout back that storage did not let begin: nothing was sampled, so it costs nothing."""
    try:
        yield
    except Unavailable:
        if not steps.sampling:
            with suppress(RolloutError):
                lease.give_back()
        raise
