"""The durable execution of one rollout; started by name through ``rollout.service.start_durable``."""

from __future__ import annotations

import time
from typing import Any

from aws_durable_execution_sdk_python import (
    DurableContext,
    durable_execution,  # pyright: ignore[reportUnknownVariableType] - a decorator without types
)

from rollout.agent import Agent, load_agent
from rollout.aws.durable_steps import DurableSteps
from rollout.aws.feedback import feedback_for
from rollout.aws.job_runtime import policy_for
from rollout.contract import validate_rollout
from rollout.errors import AgentUnavailable, AlreadyRunning
from rollout.results import Rollout
from rollout.service.start_durable import execution_name
from rollout.settings import settings
from rollout.storage.records import Records
from rollout.telemetry import logs
from rollout.telemetry.traces import run
from rollout.trust import check

# Seconds of an execution's time kept for the sweep to be told that a report is not delivered.
_LAST = 60.0


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    """Play one accepted rollout, or go on where an earlier invocation stopped.

    Args:
        event: ``{"job_arn", "trajectory_id", "attempt"}``; the record holds the rest.
    """
    logs.begin(context.lambda_context)
    logs.about(
        event["job_arn"],
        event["trajectory_id"],
        execution=execution_name(**event),
        execution_arn=context.execution_context.durable_execution_arn,
    )
    if context.is_replaying():
        logs.resumed()
    known, agent = settings(), _agent()
    patience = time.time() + known.execution_timeout
    steps = DurableSteps(context, known, replay=agent.replay, patience=patience)
    try:
        taken = steps.remember("begin", lambda: Records(known).begin(**event))
        if taken is None:
            return {"status": "superseded"}
        steps.patience = taken["accepted"] + known.execution_timeout - _LAST
        request = validate_rollout(taken["request"])
        rollout = Rollout.of(request, check(request, known))
        attempt, whole = event["attempt"], known.execution_timeout
        hold = Records(known).hold(rollout, attempt, report_patience=whole)
        steps.before_first_turn = hold.sampling
        result, told = run(
            rollout,
            agent=agent,
            policy=policy_for(rollout.destination, known),
            steps=steps,
            feedback=feedback_for(rollout.destination),
            ledger=hold,
            settings=known,
            deadline=taken["accepted"] + known.durable_budget,
        )
    except AlreadyRunning:  # the closer or the sweep has taken it
        return {"status": "superseded"}
    logs.durable(rollout, result, told, time.time() - taken["accepted"])
    return {"status": result.status, "report": told.delivery}


def _agent() -> Agent:
    """The agent; one that cannot be loaded fails the rollout, which is then reported."""
    try:
        return load_agent(settings().agent)
    except AgentUnavailable as error:
        return Agent(settings().agent, lambda _, error=error: _raise(error))


def _raise(error: AgentUnavailable) -> None:
    raise error
