"""One rollout from request to terminal report, with budgets and deadline. No AWS in here.

The order is what keeps the promises: the result is recorded before anything is reported, so a reward
that was computed survives whatever dies next; CompleteRollout comes before UpdateReward, each
repeated on its own; the trajectory is stored and the terminal record written last. Storage that does not
answer holds a report up for some seconds and no longer: then the trainer is told first, and the result
noted in the other storage meanwhile, where whoever finds the rollout abandoned looks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from rollout.agent import Agent, as_metrics, as_outcome, call, observe_error, usable_metrics
from rollout.episode import Budget, Episode
from rollout.errors import (
    Abandoned,
    NeverSampled,
    OutOfTime,
    ReplayMismatch,
    ReportRefused,
    ReportUndelivered,
    RolloutError,
    Unavailable,
)
from rollout.feedback import Feedback
from rollout.judgement import ends_agent, of_agent
from rollout.policy import Policy
from rollout.results import Report, Result, Rollout, abandoned
from rollout.rewards import shape_rewards
from rollout.settings import Limits
from rollout.steps import Steps
from rollout.waiting import StillWaiting, wait_for

# Seconds an agent has to replay what is recorded, when its deadline has passed meanwhile.
_REPLAY = 20.0
# Seconds for which a result that cannot be recorded holds up its report.
_RECORD_FIRST_SECONDS = 3.0
# Seconds for which a trajectory that cannot be stored holds up the terminal record.
_KEEP_SECONDS = 5.0


class Ledger(Protocol):
    """What ``run`` has remembered about the rollout it plays."""

    def scored(self, result: Result) -> None:
        """Remember the result; from here on its reward survives."""
        ...

    def note(self, result: Result) -> None:
        """Remember the result in another place, where the first does not answer."""
        ...

    def keep(self, result: Result) -> None:
        """Store the trajectory."""
        ...

    def kept(self) -> None:
        """Remember that the trajectory is stored after all."""
        ...

    def reported(self, result: Result, report: Report) -> None:
        """Remember what became of the report; terminal unless it is pending."""
        ...


def run(
    rollout: Rollout,
    *,
    agent: Agent,
    policy: Policy,
    steps: Steps,
    feedback: Feedback | None,
    ledger: Ledger,
    limits: Limits,
    deadline: float,
) -> tuple[Result, Report]:
    """Play a rollout and report it.

    Args:
        limits: what it may use, and how it is scored.
        deadline: epoch seconds by which the agent must have answered.

    Returns:
        The result and what became of its report. Failures of agent, policy, tools and time are
        results, not exceptions.

    Raises:
        Unavailable: the records could not be written.
    """

    def body() -> Result:
        return play(
            rollout,
            agent=agent,
            policy=policy,
            steps=steps,
            limits=limits,
            deadline=deadline,
        )

    try:
        result = steps.play(body)
    except Abandoned as error:
        result = abandoned(error)
    return result, conclude(
        result,
        steps=steps,
        feedback=feedback,
        ledger=ledger,
        seconds=deadline - time.time(),
    )


def conclude(
    result: Result,
    *,
    steps: Steps,
    feedback: Feedback | None,
    ledger: Ledger,
    seconds: float = 0.0,
) -> Report:
    """Record a result, tell the trainer, store the trajectory, and remember what came of it.

    Args:
        seconds: left until the report must be on its way.
    """

    def score() -> None:
        ledger.scored(result)

    recorded = True
    try:
        steps.remember("scored", score, at_most=_RECORD_FIRST_SECONDS)
    except Unavailable:  # the trainer need not wait for the table
        recorded = False
        with suppress(Unavailable):  # nor for the bucket
            most = max(_RECORD_FIRST_SECONDS, seconds - _RECORD_FIRST_SECONDS)
            steps.remember("noted", lambda: ledger.note(result), at_most=most)
    report = _report(result, steps, feedback)
    try:
        steps.remember("trajectory", lambda: ledger.keep(result), at_most=_KEEP_SECONDS)
    except Unavailable:
        report = replace(report, kept=False)
    if not recorded:
        steps.remember("scored late", score)
    steps.remember("reported", lambda: ledger.reported(result, report))
    if not report.kept:
        steps.remember_later("trajectory late", lambda: _keep_late(result, ledger))
    return report


def deliver(
    result: Result,
    *,
    steps: Steps,
    feedback: Feedback | None,
    ledger: Ledger,
) -> Report:
    """Tell the trainer how a recorded rollout ended, and remember what came of it."""
    report = _report(result, steps, feedback)
    steps.remember("reported", lambda: ledger.reported(result, report))
    return report


def _report(result: Result, steps: Steps, feedback: Feedback | None) -> Report:
    """Tell the trainer: the trajectory is complete, then its reward."""
    report = Report("delivered")
    try:
        if feedback is not None:
            _complete(result, steps, feedback)
            rewards = result.rewards
            if rewards is not None:
                steps.report("reward", lambda: feedback.reward(rewards), may_lag=True)
    except ReportRefused as error:
        report = Report("refused", error.detail)
    except ReportUndelivered as error:
        report = Report("pending", error.detail)
    return replace(report, tries=dict(steps.tries))


def _complete(result: Result, steps: Steps, feedback: Feedback) -> None:
    """Seal the trajectory.

    A no does not keep the reward back: the trajectory may be sealed because an earlier try's answer was
    lost, and a completed rollout without a reward fails the job. Where another sealed it as failed, the
    reward is refused as well.
    """
    try:
        steps.report("complete", lambda: feedback.complete(result.status))
    except ReportRefused:
        if result.rewards is None:
            raise


def _keep_late(result: Result, ledger: Ledger) -> None:
    ledger.keep(result)
    ledger.kept()


def play(
    rollout: Rollout,
    *,
    agent: Agent,
    policy: Policy,
    steps: Steps,
    limits: Limits,
    deadline: float,
) -> Result:
    """Run the agent on its episode until it answers, fails or runs out of time."""
    began = time.time()
    replayed = steps.replaying()
    episode = Episode(
        instance=rollout.request.instance,
        trajectory_id=rollout.destination.trajectory_id,
        policy=policy,
        steps=steps,
        budget=Budget(
            turns=limits.max_turns,
            tokens=limits.max_tokens,
            tool_calls=limits.max_tool_calls,
            deadline=deadline,
        ),
        params=rollout.request.inference_params,
        # AWS's samples send "default" to the Job Runtime; whether it must be there is not documented.
        model=rollout.request.model_name or ("default" if rollout.destination.of_job else None),
    )
    try:
        # A replay may begin when the time is over; it needs a moment to tell what happened.
        until = max(deadline, began + _REPLAY) if replayed else deadline
        value = _within(lambda: _call(agent, episode), until)
        episode.check_outage()
        outcome = as_outcome(value, agent.name)
        measured = as_metrics(episode.metrics, agent.name)
        if episode.turns == 0:
            raise NeverSampled(
                f"Agent {agent.name} returned without sampling; a job that receives no sampling "
                "request fails. Call episode.sample or episode.converse."
            )
        if steps.replaying():
            raise ReplayMismatch(
                f"Agent {agent.name} ended after turn {episode.turns}, though more turns or steps "
                "were recorded when it ran before. Between its episode's calls an agent must be "
                "deterministic; otherwise mark it @agent(replay=False)."
            )
        rewards = shape_rewards(outcome.reward, episode.turns, limits.reward_shape, agent.name)
        metrics, output, error = {**measured, **outcome.metrics}, outcome.output, None
    except RolloutError as failure:
        rewards, output, error = None, None, failure
        metrics = usable_metrics(episode.metrics)
    finally:
        # Whatever the agent left running must not sample a sealed trajectory.
        episode.close()
    if error is not None:
        floor = limits.failure_policy.floor(error.boundary)
        if floor is not None and episode.turns > 0:
            rewards = shape_rewards(floor, episode.turns, limits.reward_shape, agent.name)
    turns, possibly_captured = episode.captured()
    if replayed and turns == 0 and possibly_captured == 0:
        possibly_captured = 1  # it did not get as far as it had before
    return Result(
        status="failed" if rewards is None else "ready",
        rewards=rewards,
        metrics=metrics,
        output=output,
        failure=error.failure() if error else None,
        turns=turns,
        possibly_captured=possibly_captured,
        usage=episode.usage(),
        seconds=round(time.time() - began, 3),
        transcript=[turn.document() for turn in episode.transcript],
    )


def _call(agent: Agent, episode: Episode) -> Any:
    """Call the agent; every exception that is not ours becomes one that says who is at fault."""
    try:
        return call(agent.function, episode)
    except RolloutError:
        raise
    except BaseException as error:
        if not ends_agent(error):
            raise
        failure = of_agent(error, agent.name)
        if failure.__traceback__ is None:  # made here; the episode's own has been raised before
            observe_error(error)
        raise failure from error


def _within(function: Callable[[], Any], deadline: float) -> Any:
    """Run the agent until the deadline; what is left of it stops at its next sample.

    Raises:
        OutOfTime: it was not done by the deadline.
    """
    try:
        return wait_for(function, deadline - time.time(), name="agent")
    except StillWaiting:
        raise OutOfTime("The agent had not answered when its time was over.") from None
