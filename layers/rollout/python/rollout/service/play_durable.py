"""One rollout as a durable execution: taken up, played, reported; gone on with after a crash."""

from __future__ import annotations

import time
from typing import Any

from aws_durable_execution_sdk_python import DurableContext

from rollout.agent import Agent, load_agent
from rollout.aws.bucket import Bucket
from rollout.aws.durable_steps import DurableSteps, Spill, remember
from rollout.aws.feedback import feedback_for
from rollout.aws.job_runtime import policy_for
from rollout.contract import validate_rollout
from rollout.errors import AgentUnavailable, AlreadyRunning
from rollout.results import Rollout
from rollout.run import run
from rollout.settings import Settings
from rollout.storage import keys
from rollout.storage.records import Acceptance, Records
from rollout.telemetry import logs, traces
from rollout.trust import check

# Seconds of an execution's time kept for the sweep to be told that a report is not delivered.
_LAST = 60.0


def play_durable(
    started: dict[str, Any], context: DurableContext, settings: Settings
) -> dict[str, str]:
    """Play one accepted rollout, or go on where an earlier invocation stopped.

    Args:
        started: what the execution was started with: the fields of an ``Acceptance``; the record holds
            the rest.
        context: the execution's.

    Returns:
        ``status`` and ``report``; ``status`` is ``superseded`` where the rollout is another's.
    """
    acceptance = Acceptance(**started)
    execution_arn = context.execution_context.durable_execution_arn
    logs.about(
        acceptance.job_arn,
        acceptance.trajectory_id,
        execution=acceptance.execution,
        execution_arn=execution_arn,
    )
    if context.is_replaying():
        logs.resumed()
    agent, records, spill = (
        _agent(settings),
        Records(settings),
        Spill(Bucket(settings), keys.checkpoint),
    )
    try:
        taken = remember(
            context,
            spill,
            "begin",
            lambda: records.begin(acceptance, execution_arn),
            retry_until=time.time() + settings.times.execution_timeout,
        )
        if taken is None:
            return {"status": "superseded"}
        request = validate_rollout(taken["request"])
        rollout = Rollout.of(request, check(request, settings))
        lease = records.lease(
            rollout, acceptance.attempt, report_due_seconds=settings.times.execution_timeout
        )
        steps = DurableSteps(
            context,
            spill=spill,
            before_first_turn=lease.sampling,
            sample_timeout=settings.times.sample_timeout,
            replay=agent.replay,
            retry_until=taken["accepted"] + settings.times.execution_timeout - _LAST,
        )
        with traces.trace(rollout, agent, settings) as trace:
            result, report = run(
                rollout,
                agent=agent,
                policy=trace.policy(policy_for(rollout.destination, settings)),
                steps=steps,
                feedback=trace.feedback(feedback_for(rollout.destination)),
                ledger=lease,
                limits=settings.limits,
                deadline=taken["accepted"] + settings.times.durable_budget,
            )
            trace.ended(result, report)
    except AlreadyRunning:  # the closer or the sweep has taken it
        return {"status": "superseded"}
    logs.durable(rollout, result, report, time.time() - taken["accepted"])
    return {"status": result.status, "report": report.delivery}


def _agent(settings: Settings) -> Agent:
    """The agent; one that cannot be loaded fails the rollout, which is then reported."""
    try:
        return load_agent(settings.agent)
    except AgentUnavailable as error:
        return Agent(settings.agent, lambda _, error=error: _raise(error))


def _raise(error: AgentUnavailable) -> None:
    raise error
