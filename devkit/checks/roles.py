"""Whether the roles around a stack may do what a job needs of them; asks IAM, changes nothing.

Source: docs.aws.amazon.com/sagemaker/latest/dg/model-customize-mtrl-prereqs.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import unquote

from devkit.checks.check_result import CheckResult, error, ok, unchecked, warning
from devkit.checks.deployed_stack import DeployedStack

JOB_SERVICE = "job.sagemaker.amazonaws.com"
PREREQUISITES = "model-customize-mtrl-prereqs"
_TRUST = ("sts:AssumeRole", "sts:TagSession")


def job_role(live: DeployedStack) -> Iterator[CheckResult]:
    """The job's role is trusted to SageMaker jobs, with tags, and may invoke the job's function."""
    if not live.job_role:
        yield unchecked(
            "job-role", "The job's role was not named.", "Name it with --job-role ARN to check it."
        )
        return
    name = live.job_role.rsplit("/", 1)[-1]
    found = live.aws.ask("job-role", "iam", "get_role", RoleName=name)
    if found is None:
        yield error("job-role", f"There is no role {name}.", "Create it, or correct --job-role.")
        return
    role = found["Role"]
    yield from trusted(_document(role["AssumeRolePolicyDocument"]), name)
    arn = live.outputs.get("JobLambdaArn", "*")
    yield from may(live, "job-role", str(role["Arn"]), ("lambda:InvokeFunction",), arn)


def trusted(document: dict[str, Any], name: str) -> Iterator[CheckResult]:
    """A trust policy lets SageMaker jobs assume the role and tag the session."""
    granted: set[str] = set()
    conditions: list[str] = []
    others: set[str] = set()
    for statement in statements_of(document):
        if statement.get("Effect") != "Allow":
            continue
        # "*" and accounts are no services: SageMaker does not come as one of them.
        principal: Any = statement.get("Principal")
        services = (
            _list(cast("Any", principal).get("Service")) if isinstance(principal, dict) else []
        )
        if JOB_SERVICE not in services:
            others.update(services)
            continue
        granted.update(_list(statement.get("Action")))
        conditions += list(statement.get("Condition") or {})
    lacking = [a for a in _TRUST if not granted & {a, "sts:*", "*"}]
    if not granted:
        also = f" It trusts {', '.join(sorted(others))}, which is not enough." if others else ""
        yield error(
            "job-role-trust",
            f"The trust policy of {name} does not name {JOB_SERVICE}.{also}",
            f"Allow {' and '.join(_TRUST)} to the service {JOB_SERVICE} ({PREREQUISITES}).",
        )
    elif lacking:
        yield error(
            "job-role-trust",
            f"The trust policy of {name} lacks {' and '.join(lacking)} for {JOB_SERVICE}.",
            "Add it beside the action that is there.",
        )
    elif conditions:
        yield warning(
            "job-role-trust",
            f"The trust policy of {name} has conditions ({', '.join(sorted(set(conditions)))}); which "
            "keys SageMaker sends is not documented (?).",
            "If CreateJob cannot assume the role, try without them.",
        )
    else:
        yield ok("job-role-trust", f"{JOB_SERVICE} may assume {name} and tag its session.", name)


def caller(live: DeployedStack) -> Iterator[CheckResult]:
    """Who asks may create a job, and pass it the role."""
    if not live.job_role:
        return
    source = live.caller
    parts = source.split("/")
    if ":assumed-role/" in source:
        found = live.aws.ask("caller", "iam", "get_role", RoleName=parts[1])
        source = str(found["Role"]["Arn"]) if found else ""
    if not any(kind in source for kind in (":role/", ":user/")):
        yield unchecked(
            "caller", f"IAM does not simulate for {live.caller}.", "Check with a role or a user."
        )
        return
    for job in live.jobs:
        yield from may(live, "caller", source, ("sagemaker:CreateJob",), job)
    yield from may(live, "caller", source, ("iam:PassRole",), live.job_role)


def may(
    live: DeployedStack, check: str, source: str, actions: tuple[str, ...], resource: str
) -> Iterator[CheckResult]:
    """IAM's own simulation of what a role or user may do."""
    account = live.plan.account
    context = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, value in (
            ("aws:ResourceAccount", account),
            ("aws:PrincipalAccount", account),
            ("iam:PassedToService", JOB_SERVICE),
        )
    ]
    answer = live.aws.ask(
        check, "iam", "simulate_principal_policy",
        PolicySourceArn=source, ActionNames=list(actions), ResourceArns=[resource],
        ContextEntries=context,
    )  # fmt: skip
    results: list[dict[str, Any]] = answer["EvaluationResults"] if answer else []
    denied = [r for r in results if r["EvalDecision"] != "allowed"]
    missing = sorted({str(key) for r in denied for key in r.get("MissingContextValues", ())})
    name = source.rsplit("/", 1)[-1]
    if not denied:
        yield ok(check, f"{name} may {', '.join(actions)}.", resource)
    elif missing:
        yield unchecked(
            check,
            f"IAM cannot tell whether {name} may {', '.join(r['EvalActionName'] for r in denied)}: a "
            f"policy asks for {', '.join(missing)}.",
            "Read the policy's condition.",
        )
    else:
        yield error(
            check,
            f"{name} may not {', '.join(r['EvalActionName'] for r in denied)} on {resource}.",
            f"Allow it; {PREREQUISITES} lists the managed policies.",
        )


def _document(policy: Any) -> dict[str, Any]:
    return json.loads(unquote(policy)) if isinstance(policy, str) else policy


def statements_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy, which may be one instead of a list."""
    statements = document.get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


CHECKS: tuple[Callable[[DeployedStack], Iterator[CheckResult]], ...] = (job_role, caller)
