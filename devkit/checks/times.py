"""Whether the stack's time limits fit each other and the job's (docs/concurrency.md, "Time")."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from devkit.checks.check_result import CheckResult, error, ok, warning
from devkit.checks.stack_plan import StackPlan

# Seconds that a report should be retried while the trainer is out.
_RETRY_SECONDS = 3_600
_DAY = 86_400
# Days the bucket keeps what did not fit into a row or a checkpoint (template.yaml, lifecycle rules).
_SPILL_DAYS = 7
# Seconds of an invocation that are kept beyond one Sample (rollout.aws.durable_steps).
_MARGIN = 10
# What every page of AWS gives for a function's timeout; botocore 1.44.7 takes more (DESIGN 2.6).
_PROVEN = 900


def time_limits(plan: StackPlan) -> Iterator[CheckResult]:
    """JobTimeout is the job's rollout_timeout, and what is inside it fits."""
    timeout, ours = plan.job.timeout, plan.number("JobTimeout")
    measured = f"JobTimeout {ours:g} s, rollout_timeout {timeout:g} s"
    if ours > timeout:
        yield error(
            "job-timeout",
            "The trainer gives a rollout up before the stack reports it.",
            f"Set JobTimeout={timeout:g}.",
            measured,
        )
    elif ours < timeout:
        yield warning(
            "job-timeout",
            "Rollouts end earlier than the trainer asks for.",
            f"Set JobTimeout={timeout:g}.",
            measured,
        )
    else:
        yield ok("job-timeout", "The stack reports inside the trainer's time.", measured)
    budget = min(plan.number("TimeLimit"), ours - plan.number("JobMargin"))
    if plan.number("SampleTimeout") > budget:
        yield warning(
            "sample-timeout",
            "One slow turn may take a rollout's whole time.",
            f"Set SampleTimeout below {budget:g}.",
            f"SampleTimeout {plan.number('SampleTimeout'):g} s",
        )
    expected = plan.work.billed
    if expected > budget:
        yield error(
            "rollout-time",
            f"A rollout takes about {expected:.0f} s ({plan.measured}) and has {budget:g} s.",
            "Raise rollout_timeout and JobTimeout, or play fewer turns.",
            f"{expected:.0f} s of {budget:g} s",
        )
    else:
        yield ok(
            "rollout-time",
            f"A rollout fits its time ({plan.measured}).",
            f"{expected:.0f} s of {budget:g} s",
        )


def inline_limits(plan: StackPlan) -> Iterator[CheckResult]:
    """A rollout inside the request keeps time for its report."""
    inside = plan.number("InlineBudget") - plan.number("ReportMargin")
    expected = plan.work.waiting + plan.work.computing
    if expected > inside:
        yield ok(
            "inline-budget",
            f"A rollout takes longer than a request may ({plan.measured}): a job's function plays it "
            "durably anyhow, POST /rollout needs Prefer: respond-async.",
            f"{expected:.0f} s, a request {inside:g} s",
        )
    else:
        yield ok("inline-budget", "A rollout fits into one request.", f"{inside:g} s")


def execution_limits(plan: StackPlan) -> Iterator[CheckResult]:
    """A durable execution outlasts a report's retries, and nothing it needs expires before it."""
    execution, job = plan.number("ExecutionTimeout"), plan.number("JobTimeout")
    measured = f"{execution:g} s"
    if execution < job + _RETRY_SECONDS:
        yield error(
            "execution-timeout",
            "An execution ends before a report could wait out a trainer that does not answer.",
            f"Set ExecutionTimeout to {job + _RETRY_SECONDS:g} or more.",
            measured,
        )
    else:
        yield ok("execution-timeout", "A report can wait for a trainer that is out.", measured)
    kept = min(_SPILL_DAYS, plan.number("RetentionDays"))
    if execution > kept * _DAY:
        yield error(
            "retention",
            f"Records or checkpoints expire after {kept:g} days, while an execution may last longer.",
            f"Set ExecutionTimeout to {kept * _DAY:g} or less, or RetentionDays higher.",
            measured,
        )
    else:
        yield ok("retention", "Nothing expires under a running execution.", f"{kept:g} days")
    invocation = plan.number("WorkerTimeout")
    if invocation > _PROVEN:
        yield warning(
            "worker-timeout",
            f"Lambda's documentation allows {_PROVEN} s for an invocation; more is not proven.",
            "Deploy to an account of your own first, or play shorter turns.",
            f"{invocation:g} s",
        )
    if plan.number("SampleTimeout") + _MARGIN >= invocation:
        yield error(
            "invocation",
            "No invocation is long enough for one turn.",
            f"Set SampleTimeout below {invocation - _MARGIN:g}, or WorkerTimeout higher.",
            f"{plan.number('SampleTimeout'):g} s",
        )
    else:
        yield ok("invocation", "An invocation is long enough for a turn.", f"{invocation:g} s")


CHECKS: tuple[Callable[[StackPlan], Iterator[CheckResult]], ...] = (
    time_limits, inline_limits, execution_limits,
)  # fmt: skip
