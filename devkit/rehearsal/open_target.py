"""Opens what a rehearsal plays on: a local stack with its policy and faults, or a deployed one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.emulator.faults import Preset, parse_faults
from devkit.emulator.process_killer import AtRandom, forked
from devkit.emulator.stack import REGION, EmulatedStack
from devkit.policies.named import ChosenPolicy
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.run_files import Manifest
from devkit.rehearsal.signing import signer_for
from devkit.rehearsal.target import Evaluation, LocalJob, Target

# What an inline rollout may take: the template's default, below API Gateway's 29 s.
_INLINE = 25.0
# Seconds after a rollout's own time limit until it is given up: grading, report, closer.
_GRACE = 120.0


@contextmanager
def local_target(
    manifest: Manifest,
    policy: ChosenPolicy,
    params: Mapping[str, Any],
    *,
    faults: Preset,
    scratch: Path,
    connections: int,
    on_agent_error: Callable[[BaseException], None] | None = None,
    sockets: bool = False,
) -> Generator[Target]:
    """A stack on this machine, for as long as the block lasts.

    Args:
        scratch: directory of the durable runner's store.
        connections: rollouts in flight at most.
        on_agent_error: is given what the agent raises in this process.
        sockets: ask gateway and simulator over their sockets even where nothing would be seen of it.
    """
    durable = manifest.mode == "durable"
    stacks: list[EmulatedStack] = []
    graves = scratch / "graves"
    plan = AtRandom(faults.kill, manifest.seed)

    def environ() -> dict[str, str]:
        return stacks[0].environ()

    invoke = forked(graves, environ, plan) if faults.kill else None
    stack = EmulatedStack(
        policy.sample,
        agent=manifest.agent,
        faults=parse_faults(faults.script, manifest.seed),
        durable=durable,
        invoke=invoke,
        backoff=1 if faults.kill else 5,
        environ={**_limits(manifest.rollout_timeout), **policy.environ},
        on_agent_error=on_agent_error,
        direct=policy.scripted and not manifest.faults and not sockets,
    )
    stacks.append(stack)
    with stack:
        wait_seconds = manifest.rollout_timeout + _GRACE
        client = RolloutClient(
            stack.url,
            durable=durable,
            wait_seconds=wait_seconds,
            connections=connections,
            transport=stack.transport,
        )
        try:
            if policy.model_endpoint:
                region = policy.environ.get("AWS_REGION", REGION)
                yield Evaluation(
                    client,
                    policy.model_endpoint,
                    region,
                    params=params,
                    model=policy.model,
                    stack=stack,
                )
            else:
                yield LocalJob(stack, client, params)
        finally:
            client.close()
            policy.close()


@contextmanager
def deployed_target(
    manifest: Manifest,
    policy: ChosenPolicy,
    params: Mapping[str, Any],
    *,
    durable: bool,
    region: str,
    connections: int,
    console: Console,
) -> Generator[Target]:
    """A deployed stack, once it has said that it is well."""
    region, signer = signer_for(manifest.url, region)
    wait_seconds = manifest.rollout_timeout + _GRACE
    client = RolloutClient(
        manifest.url,
        durable=durable,
        wait_seconds=wait_seconds,
        auth=signer,
        connections=connections,
    )
    try:
        client.check_health()
        console.print(f"{manifest.url} is healthy", highlight=False, soft_wrap=True)
        yield Evaluation(client, policy.model_endpoint, region, params=params, model=policy.model)
    finally:
        client.close()


def _limits(rollout_timeout: float) -> dict[str, str]:
    """The time limits of a stack whose job has this ``rollout_timeout``, seconds."""
    inline = min(_INLINE, rollout_timeout)
    return {
        "ROLLOUT_INLINE_BUDGET": f"{inline:g}",
        "ROLLOUT_REPORT_MARGIN": f"{min(4.0, inline / 4):g}",
        "ROLLOUT_JOB_TIMEOUT": f"{rollout_timeout:g}",
        "ROLLOUT_EXECUTION_TIMEOUT": f"{max(14_400.0, rollout_timeout):g}",
        "ROLLOUT_JOB_MARGIN": f"{min(30.0, rollout_timeout / 4):g}",
        "ROLLOUT_SAMPLE_TIMEOUT": f"{min(300.0, rollout_timeout):g}",
    }
