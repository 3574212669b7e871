"""What is checked: the stack's parameters, the job's settings, the size of a rollout."""

from __future__ import annotations

import shlex
import statistics
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from devkit.checks.cost import Architecture, Job, Work
from devkit.emulator import template
from devkit.places import default_agent, samconfig
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from rollout.settings import Settings, read_settings

# Stands in where no account is known; the checks that need the real one ask AWS.
NO_ACCOUNT = "000000000000"
# What invokes the stack: jobs that train, and those that evaluate with the same agent.
JOB_KINDS = ("AgentRFT", "AgentRFTEvaluation")


def job_arn(region: str, account: str, kind: str) -> str:
    """A job of a kind, as a check asks about it."""
    return f"arn:aws:sagemaker:{region}:{account}:job/{kind}/check"


@dataclass(frozen=True)
class StackPlan:
    """A stack and the job it is to serve.

    Args:
        stack: name of the stack.
        parameters: of the template, all of them.
        region: of the stack.
        account: of the stack, :data:`NO_ACCOUNT` where it is not known.
        job: the job's settings.
        work: the size of one rollout.
        longest: most turns that one rollout is known to take; 0 if not known.
        measured: where the size of a rollout comes from.
    """

    stack: str
    parameters: Mapping[str, str]
    region: str
    account: str
    job: Job
    work: Work
    longest: int = 0
    measured: str = "assumed"

    def number(self, name: str) -> float:
        """A numeric parameter."""
        return float(self.parameters[name])

    def settings(self) -> Settings:
        """The functions' settings, read as they read them.

        Raises:
            ConfigurationError: naming the variable at fault.
        """
        return settings_of(self.parameters, self.stack, self.region, self.account)

    def deployed(self, stack: Mapping[str, Any], account: str) -> StackPlan:
        """The same with the parameters, the name and the account of a deployed stack."""
        deployed = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", ())}
        kept = {name: deployed.get(name, value) for name, value in self.parameters.items()}
        work = replace(self.work, **stack_work(kept))
        return replace(self, parameters=kept, account=account, work=work)


def settings_of(
    parameters: Mapping[str, str], stack: str, region: str, account: str = NO_ACCOUNT
) -> Settings:
    """The settings that functions with these parameters would read.

    Raises:
        ConfigurationError: naming the variable at fault, or two that contradict each other.
    """
    environ = template.environment(parameters, account=account, region=region, stack=stack)
    return read_settings({**environ, "AWS_REGION": region})


def from_samconfig(
    profile: str, given: Mapping[str, str] | None = None
) -> tuple[str, dict[str, str], str]:
    """Name, parameters and region (or nothing) that a profile of samconfig.toml deploys with.

    Where the profile names no agent, the parameter is what :func:`default_agent` says.

    Args:
        given: parameters in place of the profile's own.

    Raises:
        ValueError: there is no such profile, or the template refuses one of its parameters.
    """
    own = given_parameters(profile) if given is None else given
    parameters = template.parameters({"Agent": default_agent(), **own})
    return (
        _setting(profile, "stack_name") or "rollout",
        parameters,
        _setting(profile, "region"),
    )


def given_parameters(profile: str) -> dict[str, str]:
    """The parameters that a profile of samconfig.toml sets itself.

    Raises:
        ValueError: there is no such profile.
    """
    given = _setting(profile, "parameter_overrides")
    words = shlex.split(given) if isinstance(given, str) else list(given)
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _setting(profile: str, name: str) -> Any:
    """What a profile says for ``sam deploy``, or for every command; empty if nothing."""
    profiles = tomllib.loads(samconfig().read_text())
    if not isinstance(profiles.get(profile), dict):
        names = [name for name, value in profiles.items() if isinstance(value, dict)]
        raise ValueError(f"samconfig.toml has no profile {profile!r}; it has {', '.join(names)}")
    for command in ("deploy", "global"):
        found = profiles[profile].get(command, {}).get("parameters", {})
        if name in found:
            return found[name]
    return ""


def stack_work(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What the parameters say of a rollout's cost."""
    return {
        "memory": int(parameters["MemorySize"]),
        "architecture": cast("Architecture", parameters["Architecture"]),
        "retention_days": float(parameters["RetentionDays"]),
    }


def rehearsed(run: Path, work: Work) -> tuple[Work, int]:
    """The size of a rollout as a rehearsal measured it, and the most turns any took.

    Raises:
        ValueError: it is no rehearsal, or nothing in it was played.
    """
    read_manifest(run)
    played = [rollout for rollout in read_rollouts(run) if rollout.turns]
    if not played:
        raise ValueError(f"{run} has no rollout with a turn; rehearse first")
    waited = [sum(turn.seconds or 0.0 for turn in rollout.turns) for rollout in played]
    alone = [max(0.0, r.seconds - wait) for r, wait in zip(played, waited, strict=True)]
    replies = [len(str(turn.message)) for rollout in played for turn in rollout.turns]
    size = replace(
        work,
        turns=statistics.fmean(len(rollout.turns) for rollout in played),
        waiting=statistics.fmean(waited),
        computing=statistics.fmean(alone),
        reply_bytes=statistics.fmean(replies),
        request_bytes=statistics.fmean(len(str(rollout.instance)) for rollout in played),
    )
    return size, max(len(rollout.turns) for rollout in played)
