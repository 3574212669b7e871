"""Whether the stack's parameters fit each other and the job; nothing here asks AWS.

Where the numbers come from: docs/concurrency.md, docs/durable.md, and DESIGN 2.5 and 2.6 for the job's.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator

from devkit.aws_session import botocore_session
from devkit.checks.check_result import CheckResult, error, ok, warning
from devkit.checks.cost import cost_of_job, cost_of_rollout, cost_of_thousand
from devkit.checks.prices import QUOTAS, READ_ON, REGION
from devkit.checks.stack_plan import JOB_KINDS, NO_ACCOUNT, StackPlan, job_arn
from devkit.emulator import template
from rollout.contract import RolloutMetadata
from rollout.errors import ConfigurationError, Untrusted
from rollout.trust import check_metadata, job_runtime_endpoint

# Room beside the job's own concurrency, for replays and reports (docs/concurrency.md).
_ROOM = 1.1
# Lambda refuses to reserve more than leaves this
# (docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html).
_UNRESERVED = 100
# Characters of a layer's fields (Lambda API reference, PublishLayerVersion), and which parameters can
# be long in them.
_LAYER_TEXT = {
    "Description": (256, "Agent or Revision"),
    "LicenseInfo": (
        512,
        "AgentVariables, AllowedEndpoints, AllowedBaseUrls, AllowedModelEndpoints, JobMetrics …",
    ),
}


def settings_read(plan: StackPlan) -> Iterator[CheckResult]:
    """The functions can read their settings."""
    try:
        plan.settings()
    except ConfigurationError as problem:
        yield error(
            "settings", f"The functions would not start: {problem.detail}", "Mend that setting."
        )
        return
    yield ok("settings", "The functions can read their settings.")


def worker_concurrency(plan: StackPlan) -> Iterator[CheckResult]:
    """The worker may run as often at once as the job asks, retries included."""
    job = plan.job
    # A rollout that ended here before the trainer gave it up is never played twice at once.
    overlap = plan.number("JobTimeout") > job.timeout
    needed = math.ceil(job.concurrency * (1 + job.retries if overlap else _ROOM))
    why = f" and {job.retries} retries that overlap" if overlap else ", with a tenth for replays"
    reserved = int(plan.number("WorkerConcurrency"))
    limit = QUOTAS["lambda-concurrency"].limit
    both = reserved + int(plan.number("JobConcurrency"))
    if both > limit - _UNRESERVED:
        yield warning(
            "reserved-concurrency",
            f"Lambda keeps {_UNRESERVED} executions unreserved: reserving {both} needs a quota of "
            f"{both + _UNRESERVED}, and {limit:,.0f} is the default.",
            "Raise the Lambda quota Concurrent executions (L-B99A9384) first, or reserve less.",
            f"{both}",
        )
    measured = f"{reserved} for {job.concurrency} at once"
    if reserved == 0:
        yield ok(
            "worker-concurrency",
            f"The worker shares the account's concurrency and needs {needed} of it "
            f"({limit:,.0f} by default).",
        )
    elif reserved < job.concurrency:
        yield error(
            "worker-concurrency",
            "Lambda would hold rollouts back while their time runs.",
            f"Set WorkerConcurrency={needed} (rollout_max_concurrency{why}), or 0.",
            measured,
        )
    elif reserved < needed:
        yield warning(
            "worker-concurrency",
            "There is no room for replays beside the job's rollouts.",
            f"Set WorkerConcurrency={needed} (rollout_max_concurrency{why}).",
            measured,
        )
    else:
        yield ok("worker-concurrency", "The worker has its concurrency reserved.", measured)


def job_admitted(plan: StackPlan) -> Iterator[CheckResult]:
    """Nothing refuses what the job hands out."""
    job = plan.job
    most, invocations = int(plan.number("MaxRunning")), int(plan.number("JobConcurrency"))
    if 0 < most < job.concurrency:
        yield error(
            "max-running",
            "The stack refuses rollouts that the job hands out.",
            f"Set MaxRunning to {math.ceil(job.concurrency * _ROOM)} or more, or 0.",
            f"{most} for {job.concurrency} at once",
        )
    else:
        limit = f"{most}" if most else "no limit"
        yield ok("max-running", "The stack takes as many rollouts as the job opens.", limit)
    if 0 < invocations < math.ceil(job.concurrency / 10):
        yield warning(
            "job-concurrency",
            "The job's function may be throttled when a step begins.",
            f"Set JobConcurrency to {math.ceil(job.concurrency / 10)} or more, or 0.",
            f"{invocations}",
        )


def parameters_fit(plan: StackPlan) -> Iterator[CheckResult]:
    """All parameters together are as short as the layer that publishes them can hold."""
    for field, text in template.settings_layer(plan.parameters).items():
        limit, shorten = _LAYER_TEXT[field]
        if len(text) > limit:
            yield error(
                "parameters",
                "The parameters are too long together; a deployment would fail and change nothing.",
                f"Shorten {shorten}.",
                f"{len(text)} of {limit} characters",
            )
            return
    yield ok("parameters", "The parameters fit into the layer that publishes them.")


def budgets(plan: StackPlan) -> Iterator[CheckResult]:
    """Turns, tokens and durable operations are enough for a rollout, and not more than Lambda takes."""
    turns, most = max(plan.work.turns, plan.longest), plan.number("MaxTurns")
    if turns > most:
        yield error(
            "max-turns",
            f"A rollout takes {turns:g} turns ({plan.measured}) and is stopped after {most:g}.",
            f"Set MaxTurns to {math.ceil(turns)} or more.",
            f"{most:g}",
        )
    else:
        yield ok("max-turns", "A rollout's turns are inside the budget.", f"{turns:g} of {most:g}")
    tokens = turns * plan.job.max_tokens
    if tokens > plan.number("MaxTokens"):
        yield warning(
            "max-tokens",
            f"{turns:g} turns of sampling_max_tokens={plan.job.max_tokens} are {tokens:,.0f} tokens; "
            f"a rollout is stopped after {plan.number('MaxTokens'):,.0f}.",
            f"Set MaxTokens to {tokens:.0f} if replies may be that long.",
            f"{plan.number('MaxTokens'):.0f}",
        )
    limit = QUOTAS["durable-operations"].limit
    operations = plan.work.operations - plan.work.turns + most
    written = plan.work.reply_bytes * most / 1e6
    if operations > limit or written > QUOTAS["durable-written"].limit:
        yield error(
            "durable-limits",
            f"A rollout of {most:g} turns needs {operations:.0f} durable operations and "
            f"{written:.0f} MB of checkpoints.",
            "Lower MaxTurns.",
            f"{operations:.0f} of {limit:.0f}",
        )
    else:
        measured = f"{operations:.0f} of {limit:,.0f} operations"
        yield ok("durable-limits", "A durable execution holds a whole rollout.", measured)


def memory(plan: StackPlan) -> Iterator[CheckResult]:
    """Memory is billed while a rollout waits."""
    work = plan.work
    share = work.waiting / max(work.billed, 1e-9)
    size = int(plan.number("MemorySize"))
    if size > 1_024 and share > 0.9:
        yield warning(
            "memory",
            f"{share:.0%} of a rollout is waiting for the policy, billed at {size} MB.",
            "Try MemorySize=512 or 1024, unless your agent needs the memory or the processor.",
            f"{size} MB",
        )
    else:
        yield ok("memory", "Memory suits a rollout that mostly waits.", f"{size} MB")


def places(plan: StackPlan) -> Iterator[CheckResult]:
    """A job of the stack's region and account is trusted, at the endpoint it would be sampled at."""
    try:
        settings = plan.settings()
    except ConfigurationError:
        return  # said above
    regions = sorted(settings.trust.allowed_regions)
    if plan.region not in settings.trust.allowed_regions:
        yield warning(
            "regions",
            f"Jobs of the stack's own region {plan.region} are refused.",
            "Name it in AllowedRegions, or leave AllowedRegions empty.",
            ", ".join(regions),
        )
        return
    account = plan.account if plan.account != NO_ACCOUNT else settings.trust.account_id
    endpoint = settings.trust.job_endpoint or job_runtime_endpoint(
        plan.region, stage=settings.trust.stage
    )
    try:
        for kind in JOB_KINDS:
            metadata = RolloutMetadata(
                job_arn=job_arn(plan.region, account, kind),
                trajectory_id="check",
                endpoint=endpoint,
                region=plan.region,
            )
            check_metadata(metadata, settings)
    except Untrusted as refused:
        yield error(
            "endpoint",
            f"The stack would not send to the Job Runtime it is set to: {refused.detail}",
            "Correct JobEndpoint, JobRuntimeStage or AllowedEndpoints.",
            endpoint,
        )
        return
    yield ok("endpoint", "Job, region and endpoint agree.", endpoint)


def client_known(plan: StackPlan) -> Iterator[CheckResult]:
    """The installed botocore has the Job Runtime's client."""
    del plan
    version = str(getattr(importlib.import_module("botocore"), "__version__", "?"))
    if "sagemakerjobruntime" in botocore_session().get_available_services():
        yield ok("botocore", "botocore knows sagemakerjobruntime.", version)
    else:
        yield error(
            "botocore",
            "This botocore has no client sagemakerjobruntime.",
            "Install botocore 1.43 or newer.",
            version,
        )


def forecast(plan: StackPlan) -> Iterator[CheckResult]:
    """What the job will cost here."""
    lines = cost_of_rollout(plan.work)
    name, largest = max(lines.items(), key=lambda line: line[1])
    job = plan.job
    hours = job.step_seconds(plan.work) / 3_600
    yield ok(
        "cost",
        f"{job.rollouts:,} rollouts in {job.max_steps} steps cost about "
        f"${cost_of_job(job, plan.work):,.2f} here (${cost_of_thousand(plan.work):.2f} a thousand, "
        f"{largest / sum(lines.values()):.0%} of it {name}; {plan.measured} size, {READ_ON} prices of "
        f"{REGION}, retries and the training itself not counted). A step takes {hours:.1f} h at "
        f"{job.concurrency} at once.",
        f"${cost_of_job(job, plan.work):.2f}",
    )


CHECKS: tuple[Callable[[StackPlan], Iterator[CheckResult]], ...] = (
    settings_read, worker_concurrency, job_admitted, parameters_fit, budgets, memory, places,
    client_known, forecast,
)  # fmt: skip
