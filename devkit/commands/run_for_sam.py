"""``rollout run --sam``: the services around the containers of ``sam local``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console

from devkit.commands.interrupts import wait_for_signal
from devkit.commands.messages import wrong
from devkit.emulator import container_host
from devkit.emulator.job_runtime import PolicyFunction
from devkit.emulator.sam_cli import build_folder
from devkit.emulator.sam_services import AWS, JOB_RUNTIME, LAMBDA, SamServices, variables
from devkit.emulator.sam_templates import ARCHITECTURE, prepare
from devkit.emulator.server import PortTaken
from devkit.places import ROOT, repository

_REGION = "us-west-2"  # of the sample events, and samconfig.toml's


def serve(
    policy: PolicyFunction,
    rows: list[dict[str, Any]],
    options: argparse.Namespace,
    console: Console,
) -> int:
    """Start the services, say how to start the functions, and serve until told to stop."""
    region = _region()
    try:
        prepare(build_folder() / ARCHITECTURE)
    except FileNotFoundError:
        return wrong(
            FileNotFoundError(
                "nothing is built for this machine: rollout build --architecture " + ARCHITECTURE
            )
        )
    try:
        with (
            tempfile.TemporaryDirectory() as scratch,
            SamServices(
                policy,
                rows,
                agent=options.agent,
                region=region,
                durable=Path(scratch),
                address=container_host.address(),
            ) as services,
        ):
            _explain(services, rows, Path(scratch), console)
            wait_for_signal()
    except PortTaken as error:
        return wrong(
            RuntimeError(
                f"{error}; events/env.json names the ports {JOB_RUNTIME} to {LAMBDA}, so stop what "
                "listens there (another rollout run --sam?)"
            )
        )
    except container_host.NoEngine as error:
        return wrong(error)
    return 0


def _region() -> str:
    """The user's region, as their AWS tools take it; the sample events' where they have none."""
    session: Any = boto3.Session()
    return os.environ.get("AWS_REGION") or session.region_name or _REGION


def _explain(
    services: SamServices, rows: list[dict[str, Any]], scratch: Path, console: Console
) -> None:
    body, worker = scratch / "rollout.json", scratch / "worker.json"
    worker.write_bytes(services.accept(rows[0]))
    body.write_text(json.dumps(services.request("any-id-you-like", rows[0])))
    ours = ROOT / ".tools/sam/bin/sam"
    sam = os.path.relpath(ours, repository()) if ours.exists() else "sam"
    flags, server, api, page = _flags(services.region, scratch)

    def say(what: str, text: str) -> None:
        console.print(f"{what:<12}{text}", highlight=False, markup=False, soft_wrap=True)

    say("Job Runtime", f"{services.simulator.url}  (simulated; job {services.job_arn})")
    say("AWS", f"http://127.0.0.1:{AWS} DynamoDB and S3, http://127.0.0.1:{LAMBDA} Lambda")
    say("API", f"{sam} local start-api{flags}{server}{api}")
    say("Console", f"{sam} local start-api{flags}{server}{page}")
    say("Try", f"curl -s http://127.0.0.1:3000/rollout -d @{shlex.quote(str(body))}")
    say("Look", "http://127.0.0.1:3001/")
    environ = f"DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT={LAMBDA}"
    invoke = f"{sam} local invoke WorkerFunction{flags}"
    say("A worker", f"{environ} {invoke} -e {shlex.quote(str(worker))}")
    say("Ready", f"start these in {repository()}, each in a terminal of its own; Ctrl-C stops")


def _flags(region: str, scratch: Path) -> tuple[str, str, str, str]:
    """What ``sam local`` must be given: always, as a server, and as one of the API or of the console."""
    if repository() == ROOT:  # its samconfig.toml has the rest
        return ("" if region == _REGION else f" --region {region}"), "", "", " --config-env console"
    environ = scratch / "env.json"
    environ.write_text(json.dumps({"Parameters": variables()}))
    flags = (
        f" --region {region} --env-vars {shlex.quote(str(environ))}"
        f" --add-host {container_host.NAME}:host-gateway"
    )
    templates = [f" --template .aws-sam/build/{name}.yaml" for name in ("api", "console")]
    return flags, " --warm-containers LAZY", templates[0], templates[1] + " --port 3001"
