"""Whether the deployed stack is what a job needs; asks AWS, changes nothing.

Quotas: ``devkit.checks.prices``. What no page confirms carries (?) in its text.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from devkit.checks import roles
from devkit.checks.ask_aws import AwsReader
from devkit.checks.check_result import CheckResult, error, ok, warning
from devkit.checks.deployed_stack import DeployedStack
from devkit.checks.prices import QUOTAS
from devkit.checks.roles import PREREQUISITES, may, statements_of
from devkit.checks.stack_plan import StackPlan
from devkit.emulator import template
from rollout.storage.keys import DRAINING
from rollout.trust import job_runtime_endpoint

# Variables that only the deployed stack knows.
_OF_THE_STACK = {"ROLLOUT_TABLE", "ROLLOUT_BUCKET", "ROLLOUT_WORKER", "STACK_SETTINGS"}
_WORKER_ACTIONS = ("sagemaker:Sample", "sagemaker:CompleteRollout", "sagemaker:UpdateReward")


def job_function(live: DeployedStack) -> Iterator[CheckResult]:
    """The function that a job invokes is there, ready, and of this region."""
    arn = live.outputs.get("JobLambdaArn", "")
    found = arn and live.aws.ask(
        "job-function", "lambda", "get_function_configuration", FunctionName=arn
    )
    if not found:
        yield error("job-function", "The stack has no job function.", "Deploy it again.", arn)
        return
    name = str(found["FunctionName"])
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    if (state, update) != ("Active", "Successful"):
        yield error(
            "job-function", f"{name} is {state}, its last update {update}.", "Deploy again."
        )
    elif arn.split(":")[3] != live.plan.region:
        yield error(
            "job-function", f"{name} is not in {live.plan.region}.", "Name the job's region.", arn
        )
    elif "sagemaker" not in name.lower():
        yield warning(
            "job-function",
            f"{name} has no SageMaker in its name, by which the model customization policies go.",
            f"Allow lambda:InvokeFunction on it to the job's role ({PREREQUISITES}).",
            arn,
        )
    else:
        yield ok("job-function", "Give this to the job as CustomAgentLambdaConfig.LambdaArn.", arn)
    # A job's role invokes it within the account; a resource policy is needed by nobody, but may deny.
    policy = live.aws.ask("resource-policy", "lambda", "get_policy", FunctionName=arn)
    statements = statements_of(json.loads(policy["Policy"])) if policy else []
    if any(statement.get("Effect") == "Deny" for statement in statements):
        yield warning(
            "resource-policy",
            f"The resource policy of {name} denies something.",
            "See that it does not deny the job's role lambda:InvokeFunction.",
        )


def not_draining(live: DeployedStack) -> Iterator[CheckResult]:
    """The stack is not being drained."""
    key = {name: {"S": value} for name, value in DRAINING.items()}
    table = live.outputs.get("Table", "")
    found = table and live.aws.ask("draining", "dynamodb", "get_item", TableName=table, Key=key)
    if found and "Item" in found:
        yield error(
            "draining",
            "The stack refuses every new rollout: it is being drained.",
            f"Run rollout drain --stack {live.plan.stack} --off.",
        )


def worker(live: DeployedStack) -> Iterator[CheckResult]:
    """The alias that is started runs durably, as long as the parameters say."""
    found = live.aws.ask(
        "worker", "lambda", "get_function_configuration", FunctionName=live.worker, Qualifier="live"
    )
    if found is None:
        yield error(
            "worker",
            f"{live.worker} has no alias live, by which it is started.",
            "Deploy it again.",
        )
        return
    durable = found.get("DurableConfig")
    wanted = int(live.plan.number("ExecutionTimeout"))
    if durable is None:
        yield error(
            "worker",
            f"{live.worker}:live is no durable function.",
            "Durability is chosen when a function is created: delete the stack and deploy it anew.",
        )
    elif int(durable.get("ExecutionTimeout", 0)) != wanted:
        yield error(
            "worker",
            f"{live.worker}:live was published with another ExecutionTimeout.",
            "Deploy again, so that the alias moves to a new version.",
            f"{durable.get('ExecutionTimeout')} s, parameter {wanted} s",
        )
    else:
        yield ok("worker", f"{live.worker}:live runs durably.", f"{wanted} s")
    for job in live.jobs:
        yield from may(live, "worker-role", str(found["Role"]), _WORKER_ACTIONS, job)


def published(live: DeployedStack) -> Iterator[CheckResult]:
    """What the aliases play with is what the parameters say."""
    plan = live.plan
    wanted = template.environment(
        plan.parameters, account=plan.account, region=plan.region, stack=plan.stack
    )
    for name in (live.job_function, live.worker):
        found: dict[str, Any] = live.aws.ask(
            "published", "lambda", "get_function_configuration", FunctionName=name, Qualifier="live"
        ) or {}  # fmt: skip
        variables: dict[str, str] = found.get("Environment", {}).get("Variables", {})
        others = sorted(
            variable
            for variable, value in wanted.items()
            if variable.startswith("ROLLOUT_")
            and variable not in _OF_THE_STACK
            and variables.get(variable, "") != value
        )
        if others:
            yield error(
                "published",
                f"{name}:live does not play with the stack's parameters.",
                "Somebody changed it by hand or moved the alias back; deploy again with a new Revision.",
                ", ".join(others),
            )
        else:
            yield ok("published", f"{name}:live plays with the stack's parameters.")


def access_logs(aws: AwsReader, plan: StackPlan) -> Iterator[CheckResult]:
    """API Gateway may write the access logs that are asked for; else it refuses the stage."""
    if plan.parameters["ApiAccessLogs"] != "true":
        return
    account: dict[str, Any] = aws.ask("access-logs", "apigateway", "get_account") or {}
    if role := account.get("cloudwatchRoleArn"):
        yield ok("access-logs", "API Gateway may write logs in this region.", str(role))
    else:
        yield error(
            "access-logs",
            "API Gateway has no CloudWatch role in this account and region: deploying with "
            "ApiAccessLogs=true is rolled back.",
            "Give it one (aws apigateway update-account --patch-operations "
            "op=replace,path=/cloudwatchRoleArn,value=ROLE, with the managed policy "
            "AmazonAPIGatewayPushToCloudWatchLogs), or set ApiAccessLogs=false.",
        )


def _access_logs(live: DeployedStack) -> Iterator[CheckResult]:
    yield from access_logs(live.aws, live.plan)


def concurrency(live: DeployedStack) -> Iterator[CheckResult]:
    """The account's concurrency holds the job, whatever is reserved."""
    plan = live.plan
    limits = live.aws.ask("concurrency", "lambda", "get_account_settings")["AccountLimit"]
    total = int(limits["ConcurrentExecutions"])
    free = int(limits["UnreservedConcurrentExecutions"])
    for parameter, name in (
        ("WorkerConcurrency", live.worker),
        ("JobConcurrency", live.job_function),
    ):
        answer: dict[str, Any] = live.aws.ask(
            "reserved", "lambda", "get_function_concurrency", FunctionName=name
        ) or {}  # fmt: skip
        reserved = int(answer.get("ReservedConcurrentExecutions", 0))
        if reserved != int(plan.number(parameter)):
            yield warning(
                "reserved",
                f"{name} has {reserved} reserved, {parameter} says {plan.parameters[parameter]}.",
                "Somebody changed it by hand; deploy again, or set the parameter.",
                f"{reserved}",
            )
    shared = 0 if plan.number("WorkerConcurrency") else math.ceil(plan.job.concurrency * 1.1)
    shared += 0 if plan.number("JobConcurrency") else math.ceil(plan.job.concurrency / 10)
    measured = f"{free} free of {total}, {shared} needed"
    if shared > free:
        yield error(
            "concurrency",
            "The account has too few concurrent executions free for the job.",
            "Raise the Lambda quota Concurrent executions (L-B99A9384), or lower "
            "rollout_max_concurrency.",
            measured,
        )
    else:
        yield ok("concurrency", "The account's concurrency holds the job.", measured)


def quotas(live: DeployedStack) -> Iterator[CheckResult]:
    """The quotas of durable functions hold the beginning of a step and its turns."""
    job, work = live.plan.job, live.plan.work
    pace = work.checkpoints / max(work.billed, 1e-9) * job.concurrency
    needs = {
        "durable-starts": (
            job.concurrency,
            "a step's first rollouts, if they come in one second (?)",
        ),
        "checkpoints": (math.ceil(pace), "every turn of every open rollout"),
        "durable-running": (job.concurrency, "every open rollout"),
    }
    for name, (need, why) in needs.items():
        quota = QUOTAS[name]
        found = live.aws.ask(
            name, "service-quotas", "get_service_quota", ServiceCode="lambda", QuotaCode=quota.code
        )
        limit = float(found["Quota"]["Value"]) if found else quota.limit
        measured = f"{need} of {limit:,.0f} {quota.unit}" + ("" if found else ", the default")
        if need > limit:
            yield warning(
                name,
                f"{why.capitalize()} need more than the quota; starts above it are refused and repeated.",
                f"Raise the Lambda quota {quota.code}.",
                measured,
            )
        else:
            yield ok(name, f"The quota holds {why}.", measured)


def endpoint(live: DeployedStack) -> Iterator[CheckResult]:
    """The Job Runtime answers a TLS handshake; nothing is sent."""
    settings = live.plan.settings()
    url = settings.trust.job_endpoint or job_runtime_endpoint(
        live.plan.region, stage=settings.trust.stage
    )
    host = urlsplit(url).hostname or ""
    yield reachable(host, urlsplit(url).port or 443)


def reachable(host: str, port: int, timeout: float = 3.0) -> CheckResult:
    """Whether a host completes a TLS handshake with this machine."""
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure,
        ):
            return ok("reachable", f"{host} answers from here.", str(secure.version()))
    except OSError as failed:
        return warning(
            "reachable",
            f"{host} does not answer from here ({type(failed).__name__}). The worker connects from "
            "Lambda, not from here.",
            "See that the region has multi-turn RL; the region list is AWS's (?).",
        )


CHECKS: tuple[Callable[[DeployedStack], Iterator[CheckResult]], ...] = (
    job_function, not_draining, worker, published, _access_logs, concurrency, quotas,
    *roles.CHECKS, endpoint,
)  # fmt: skip
