"""What a call of ``rollout rehearse`` asks for, decided and checked before anything is played."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devkit.emulator.faults import Preset, preset_of
from devkit.policies import named as policies
from devkit.rehearsal.dataset import ChosenRows, Dataset, survey
from devkit.rehearsal.run_files import Manifest, Mode
from devkit.rehearsal.versions import Version, version_of
from rollout.agent import load_agent


@dataclass(frozen=True)
class RehearsalPlan:
    """Everything that is decided before the first rollout is played."""

    manifest: Manifest
    run: Path
    rows: ChosenRows
    policy: policies.ChosenPolicy
    faults: Preset

    @property
    def params(self) -> Mapping[str, Any]:
        """``inference_params`` of each request."""
        made = self.manifest
        params = {
            "temperature": made.temperature,
            "top_p": made.top_p,
            "max_tokens": made.max_tokens,
        }
        return {name: value for name, value in params.items() if value is not None}


def plan_of(options: argparse.Namespace) -> RehearsalPlan:
    """Decide everything; a server is asked whether it is there.

    Raises:
        AgentUnavailable: from a policy that needs the agent here.
        OSError, ValueError: what is wrong and what to do.
    """
    if options.limit and options.sample:
        raise ValueError("--limit takes the first rows and --sample draws some: give one of them")
    faults = preset_of(options.faults)
    mode = _mode(options, faults)
    if mode == "url":
        policy = _deployed_policy(options)
    else:
        policy = policies.choose(
            options.policy,
            agent=load_agent(options.agent).name,
            skill=options.skill,
            model=options.model,
            seed=options.seed,
            leave_out=options.leave_out,
        )
        mode = options.mode or ("durable" if faults.kill or not policy.scripted else "inline")
    if policy.model_endpoint and options.faults:
        raise ValueError("--faults strike the simulated Job Runtime, which endpoint: does not use")
    dataset = survey(options.dataset, skip_bad=options.skip_bad, instances=options.instances)
    rows = dataset.choose(limit=options.limit, sample=options.sample, seed=options.seed)
    version = Version("", "") if mode == "url" else version_of(options.agent)
    now = datetime.now(UTC)
    module = options.agent.partition(":")[0].rpartition(".")[2]
    run = options.run or Path("runs") / f"{module}-{now:%Y%m%d-%H%M%S}"
    manifest = _manifest(
        options, dataset, rows, policy, mode, version=version, name=_name(run, mode, now), now=now
    )
    return RehearsalPlan(manifest, run, rows, policy, faults)


def _mode(options: argparse.Namespace, faults: Preset) -> Mode | None:
    """``url`` or not yet decided; what cannot go together is refused here."""
    if not 10 <= options.rollout_timeout <= 86_400:
        raise ValueError("--rollout-timeout must be from 10 to 86400 seconds")
    if not options.url:
        if faults.kill and options.mode == "inline":
            raise ValueError("--faults killed-worker needs the durable worker: use --mode durable")
        return None
    if options.faults:
        raise ValueError("--faults are for the local stack: leave them out with --url")
    return "url"


def _deployed_policy(options: argparse.Namespace) -> policies.ChosenPolicy:
    kind, _, name = options.policy.partition(":")
    if kind != "endpoint" or not name:
        raise ValueError(
            "--url plays on a stack without a job, so there is no policy of a job to sample from: use "
            "--policy endpoint:NAME with a SageMaker endpoint of the stack's AllowedModelEndpoints"
        )
    return policies.ChosenPolicy(
        options.policy, policies.never_asked, model=options.model, model_endpoint=name
    )


def _name(run: Path, mode: str, now: datetime) -> str:
    """What trajectory ids begin with; a deployed stack remembers those of other runs for weeks."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", run.resolve().name)[:100]
    return f"{name}-{int(now.timestamp()):x}" if mode == "url" else name


def _manifest(
    options: argparse.Namespace,
    dataset: Dataset,
    rows: ChosenRows,
    policy: policies.ChosenPolicy,
    mode: Any,
    *,
    version: Version,
    name: str,
    now: datetime,
) -> Manifest:
    return Manifest(
        name=name,
        agent=options.agent,
        dataset=str(options.dataset),
        dataset_sha256=dataset.sha256,
        agent_sha256=version.agent_sha256,
        dependencies_sha256=version.dependencies_sha256,
        rows=rows.count,
        group_size=options.group_size,
        policy=policy.name,
        mode=mode,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_tokens,
        seed=options.seed,
        faults=options.faults,
        rollout_timeout=options.rollout_timeout,
        started_at=now.isoformat(timespec="seconds"),
        chosen="sample" if rows.numbers is not None else "all" if rows.all else "first",
        model=policy.model,
        url=options.url,
        latency=options.latency,
    )
