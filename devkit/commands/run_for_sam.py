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
from devkit.emulator.sam_services import AWS, JOB_RUNTIME, LAMBDA, SamServices
from devkit.emulator.sam_templates import ARCHITECTURE, prepare
from devkit.emulator.server import PortTaken
from devkit.places import ROOT

_REGION = "us-west-2"  # of the sample events, and samconfig.toml's
_PORT, _CONSOLE_PORT = 3000, 3001


def serve(
    policy: PolicyFunction,
    rows: list[dict[str, Any]],
    options: argparse.Namespace,
    console: Console,
) -> int:
    """Start the services, say how to start the functions, and serve until told to stop."""
    region = _region()
    try:
        prepare(ROOT / ".aws-sam" / ARCHITECTURE)
    except FileNotFoundError:
        return wrong(FileNotFoundError("nothing is built: make build"))
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
            services.accept(rows[0])
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
    return os.environ.get("AWS_REGION") or boto3.Session().region_name or _REGION


def _explain(
    services: SamServices, rows: list[dict[str, Any]], scratch: Path, console: Console
) -> None:
    body = scratch / "rollout.json"
    body.write_text(json.dumps(services.request("any-id-you-like", rows[0])))
    ours = ROOT / ".tools/sam/bin/sam"
    sam = os.path.relpath(ours) if ours.exists() else "sam"
    region = "" if services.region == _REGION else f" --region {services.region}"

    def say(what: str, text: str) -> None:
        console.print(f"{what:<12}{text}", highlight=False, markup=False, soft_wrap=True)

    say("Job Runtime", f"{services.simulator.url}  (simulated; job {services.job_arn})")
    say("AWS", f"http://127.0.0.1:{AWS} DynamoDB and S3, http://127.0.0.1:{LAMBDA} Lambda")
    say("API", f"{sam} local start-api{region}")
    say("Console", f"{sam} local start-api{region} --config-env console")
    say("Try", f"curl -s http://127.0.0.1:{_PORT}/rollout -d @{shlex.quote(str(body))}")
    say("Look", f"http://127.0.0.1:{_CONSOLE_PORT}/")
    say("A worker", f"DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT={LAMBDA} {sam} local invoke "
        "WorkerFunction -e events/worker.json")  # fmt: skip
    console.print(f"In {ROOT}, each in a terminal of its own. Ctrl-C stops.", markup=False)
