"""``rollout check``: the command line and the report."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape

from devkit.checks import agent_and_dataset, built, deployed, packages, stack_parameters, times
from devkit.checks.agent_and_dataset import AgentAndDataset
from devkit.checks.ask_aws import AwsReader, Unanswered
from devkit.checks.check_result import CheckLevel, CheckResult, error, ok
from devkit.checks.cost import Job, Work
from devkit.checks.deployed_stack import DeployedStack
from devkit.checks.prices import REGION
from devkit.checks.stack_plan import NO_ACCOUNT, StackPlan, from_samconfig, rehearsed, stack_work
from devkit.emulator import sam_cli, template
from devkit.emulator.sam_templates import ARCHITECTURE
from devkit.places import dataset_of, repository

Subject = TypeVar("Subject")
_MARKS: dict[CheckLevel, str] = {
    "ok": "[green]ok[/green]     ",
    "warning": "[yellow]warning[/yellow]",
    "error": "[red]error[/red]  ",
    "unchecked": "[cyan]?[/cyan]      ",
}
_SECONDS_A_TURN = 5.0

Group = tuple[str, list[CheckResult]]


def register(commands: Any) -> None:
    """Add ``check`` to the command line."""
    parser = commands.add_parser(
        "check", help="read settings, agent, dataset and stack; say what to mend"
    )
    parser.add_argument("--stack", help="a deployed stack; asks AWS, changes nothing")
    parser.add_argument("--job-role", default="", help="ARN of the role the job runs with")
    parser.add_argument("--config-env", default="default", help="profile of samconfig.toml")
    parser.add_argument("--region", help="of the stack (default AWS_REGION, else us-west-2)")
    parser.add_argument(
        "--agent", default="", help="module:function (default: the parameter Agent of the stack)"
    )
    parser.add_argument("--dataset", type=Path, help="JSONL with a prompt column")
    parser.add_argument("--rehearsal", type=Path, help="a rehearsal to take turns and seconds from")
    parser.add_argument("--built", type=Path, help="what sam build left (default .aws-sam/…)")
    parser.add_argument("--turns", type=float, help="of a rollout (default 10)")
    parser.add_argument("--seconds-per-turn", type=float, help="sampling (default 5)")
    job = Job()
    for name, default, text in (
        ("--rollout-max-concurrency", job.concurrency, "of the job"),
        ("--rollout-timeout", job.timeout, "of the job, seconds"),
        ("--rollout-max-retries", job.retries, "of the job"),
        ("--batch-size", job.batch_size, "global_batch_size of the job"),
        ("--group-size", job.group_size, "of the job"),
        ("--max-steps", job.max_steps, "of the job"),
        ("--sampling-max-tokens", job.max_tokens, "of the job"),
    ):
        kind = type(default)
        parser.add_argument(name, type=kind, default=default, help=f"{text} (default {default:g})")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace, console: Console) -> int:
    try:
        groups = check(options)
    except ValueError as wrong:
        groups = [("What to check", [error("options", str(wrong), "Correct it and check again.")])]
    findings = [finding for _, group in groups for finding in group]
    if options.json:
        documents = [{"group": name, **f.document()} for name, group in groups for f in group]
        console.file.write(json.dumps({"findings": documents}, indent=1) + "\n")
    else:
        show(groups, console)
    return int(any(finding.level == "error" for finding in findings))


def check(options: argparse.Namespace) -> list[Group]:
    """Run every check that can be run.

    Raises:
        ValueError: an option names something that is not there.
    """
    plan = _plan(options)
    asked: list[CheckResult] = []
    live: DeployedStack | None = None
    if options.stack or options.job_role:
        live, asked = _connect(plan, options)
        plan = live.plan if live else plan
    groups = [
        ("Settings", _run((*times.CHECKS, *stack_parameters.CHECKS), plan)),
        ("Agent", _run(agent_and_dataset.CHECKS, _agent_and_dataset(plan, options))),
        ("Packages", _run(packages.CHECKS, repository() / "environments" / "requirements.txt")),
        ("Build", _run(built.CHECKS, _built(plan, options))),
    ]
    if options.stack or options.job_role:
        asked += _run(deployed.CHECKS, live) if live else []
        groups.append((f"AWS, {plan.region}", asked))
    return groups


def show(groups: Sequence[Group], console: Console) -> None:
    """Print the findings in their groups, and how many need something done."""
    for name, findings in groups:
        console.print(f"\n[bold]{name}[/bold]", highlight=False)
        for finding in findings:
            tail = f" ({finding.measured})" if finding.measured else ""
            text = f"  {_MARKS[finding.level]} {escape(finding.what + tail)}"
            console.print(text, highlight=False, soft_wrap=True)
            if finding.mend:
                console.print(f"          {escape(finding.mend)}", highlight=False, soft_wrap=True)
    levels = [finding.level for _, findings in groups for finding in findings]
    errors, warnings, silent = (levels.count(level) for level in ("error", "warning", "unchecked"))
    console.print(
        f"\n{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}, "
        f"{silent} not checked",
        highlight=False,
    )


def _run(
    checks: Sequence[Callable[[Subject], Iterator[CheckResult]]], subject: Subject
) -> list[CheckResult]:
    """Run checks in order; one that AWS does not answer says so, and the next goes on."""
    found: list[CheckResult] = []
    for one in checks:
        try:
            found.extend(one(subject))
        except Unanswered as silent:
            found.append(silent.finding)
            if silent.general:
                break
    return found


def _plan(options: argparse.Namespace) -> StackPlan:
    stack, parameters, region = from_samconfig(options.config_env)
    here = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    job = Job(
        batch_size=options.batch_size,
        group_size=options.group_size,
        max_steps=options.max_steps,
        concurrency=options.rollout_max_concurrency,
        timeout=options.rollout_timeout,
        retries=options.rollout_max_retries,
        max_tokens=options.sampling_max_tokens,
    )
    work, longest, measured = Work(turns=10), 0, "assumed"
    if options.rehearsal:
        (work, longest), measured = rehearsed(options.rehearsal, work), "rehearsed"
    else:
        turns = work.turns if options.turns is None else options.turns
        each = options.seconds_per_turn or _SECONDS_A_TURN
        if options.turns is not None or options.seconds_per_turn is not None:
            measured = "given"
        work = replace(work, turns=turns, waiting=turns * each, computing=turns * 0.05)
    return StackPlan(
        stack=options.stack or stack,
        parameters=parameters,
        region=options.region or region or here or REGION,
        account=NO_ACCOUNT,
        job=job,
        work=replace(work, **stack_work(parameters)),
        longest=longest,
        measured=measured,
    )


def _agent_and_dataset(plan: StackPlan, options: argparse.Namespace) -> AgentAndDataset:
    """The agent to check, with the dataset named, or the one that comes with it."""
    path = options.agent or plan.parameters["Agent"]
    own = dataset_of(path)
    dataset = options.dataset or (own if own.exists() else None)
    if dataset is not None and not dataset.is_file():
        raise ValueError(f"{dataset} is no file")
    # The sample that comes with an agent is not what a job trains on; its size says nothing.
    batch = plan.job.batch_size if options.dataset else 0
    return AgentAndDataset(path, dataset, batch)


def _built(plan: StackPlan, options: argparse.Namespace) -> built.Built:
    place = options.built or sam_cli.build_folder() / ARCHITECTURE
    return built.Built(place, plan.parameters["Agent"])


def _connect(
    plan: StackPlan, options: argparse.Namespace
) -> tuple[DeployedStack | None, list[CheckResult]]:
    """Who asks, and the stack as it is deployed; None where AWS does not answer."""
    aws = AwsReader(plan.region)
    try:
        who = aws.ask("identity", "sts", "get_caller_identity")
        found = [ok("identity", f"You are {who['Arn']}.", who["Account"])]
    except Unanswered as silent:
        return None, [silent.finding]
    account = str(who["Account"])
    role = options.job_role
    if role and (role.split(":")[4:5] != [account]):
        text = f"The job's role is not of your account {account}: {role}"
        found.append(error("job-role", text, "Name a role of the stack's account."))
    try:
        answer = aws.ask("stack", "cloudformation", "describe_stacks", StackName=plan.stack)
    except Unanswered as silent:
        return None, [*found, silent.finding]
    if answer is None:
        what = f"There is no stack {plan.stack} in {plan.region}."
        found.append(
            error("stack", what, "Deploy it (make deploy), or correct --stack or --region.")
        )
        return None, [*found, *_run([lambda aws: deployed.access_logs(aws, plan)], aws)]
    stack = answer["Stacks"][0]
    status = str(stack["StackStatus"])
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        found.append(ok("stack", f"{plan.stack} is deployed.", status))
    else:
        found.append(error("stack", f"{plan.stack} is {status}.", "Wait, or deploy again.", status))
    missing = set(template.load_template()["Parameters"]) - {
        parameter["ParameterKey"] for parameter in stack.get("Parameters", ())
    }
    if missing:
        what = f"{plan.stack} does not know {', '.join(sorted(missing))}; defaults are taken here."
        found.append(
            CheckResult("warning", "stack", what, "It was deployed from an older template.")
        )
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())}
    live = DeployedStack(aws, plan.deployed(stack, account), outputs, role, str(who["Arn"]))
    return live, found
