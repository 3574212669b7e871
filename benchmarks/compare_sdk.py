"""The same faults against our worker and against the reference SDK's decorator, side by side.

``make compare-sdk`` installs ``sagemaker-train`` 1.27.0 into an environment of its own and prints the
table; ``--markdown FILE`` writes it with the date. Each fault strikes one rollout of two turns that
earns 1.0. The platform itself is asked nothing twice: what is lost here stays lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from devkit.emulator.faults import parse_faults
from devkit.emulator.job_runtime import JobRuntimeSimulator, Trajectory
from devkit.emulator.stack import JOB_ARN, EmulatedStack

ROOT = Path(__file__).resolve().parent.parent
SDK_PYTHON = ROOT / ".tools" / "sdk" / "bin" / "python"
FAULTS = [
    "",
    *[f"Sample@2:{kind}" for kind in ("drop-before", "drop-after", "status=429", "status=500")],
    *[
        f"{operation}@1:{kind}"
        for operation in ("CompleteRollout", "UpdateReward")
        for kind in (
            "drop-before", "drop-after", "delay=1", "status=409", "status=429", "status=500",
            "status=503",
        )
    ],
    "agent raises",
]  # fmt: skip


def answer_of(_: Any) -> dict[str, Any]:
    """The simulated policy."""
    return {"content": "5"}


def instance_of(fault: str) -> dict[str, Any]:
    """The problem handed out for a fault."""
    return {"question": "q", "raise": fault == "agent raises"}


def script_of(fault: str) -> Any:
    """The fault script for a fault's name."""
    return parse_faults("" if fault == "agent raises" else fault)


def verdict(trajectory: Trajectory) -> str:
    """What the trainer was left with."""
    said = [json.dumps(turn.request["messages"]) for turn in trajectory.turns]
    found: list[str] = []
    if len(said) != len(set(said)):
        found.append("a turn twice")
    if trajectory.state == "open":
        found.append("never closed")
    elif trajectory.state == "ready":
        found.append("reward lost")
    elif trajectory.state == "rewarded":
        found.append(f"rewarded {trajectory.rewards[0]:g}" if trajectory.rewards else "")
    else:
        found.append("failed")
    refused = [r for r in trajectory.reports if r.operation == "UpdateReward" and r.status == 409]
    if trajectory.state == "failed" and refused:
        found.append("a reward of 0 was sent for it")
    return ", ".join(found)


def ours() -> Iterator[tuple[str, str]]:
    """Each fault against the durable worker."""
    for number, fault in enumerate(FAULTS):
        with (
            tempfile.TemporaryDirectory() as directory,
            EmulatedStack(
                answer_of,
                agent="benchmarks.peers.two_turns:two_turns",
                faults=script_of(fault),
                durable=Path(directory),
            ) as stack,
        ):
            name = f"t-{number}"
            body = stack.request(name, instance_of(fault))
            url = f"{stack.url}/rollout"
            httpx.post(url, json=body, headers={"Prefer": "respond-async"}, timeout=60)
            for _ in range(600):
                answer = httpx.get(f"{url}s/{name}", params={"job_arn": JOB_ARN}, timeout=60)
                if answer.json()["state"] in ("ready", "failed"):
                    break
                time.sleep(0.05)
            yield fault, verdict(stack.simulator.trajectory(JOB_ARN, name))


def reference() -> Iterator[tuple[str, str]]:
    """Each fault against the SDK's decorator."""
    environ = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 - the simulator takes any
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    command = [str(SDK_PYTHON), "-W", "ignore", str(ROOT / "benchmarks" / "peers" / "sdk_agent.py")]
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as player:
        if player.stdin is None or player.stdout is None:
            raise RuntimeError("the player has no pipes")
        for number, fault in enumerate(FAULTS):
            with JobRuntimeSimulator(answer_of, script_of(fault)) as simulator:
                name = f"s-{number}"
                trajectory = simulator.hand_out(JOB_ARN, name, instance_of(fault))
                payload = {
                    "instance": instance_of(fault),
                    "metadata": {
                        "job_arn": JOB_ARN,
                        "trajectory_id": name,
                        "endpoint": simulator.url,
                        "region": "us-west-2",
                    },
                }
                player.stdin.write(json.dumps(payload) + "\n")
                player.stdin.flush()
                seen = json.loads(player.stdout.readline())
                raised = "" if "raised" not in seen else f" (the caller sees {seen['raised']})"
                yield fault, verdict(trajectory) + raised
        player.stdin.close()


def main() -> int:
    """Print the table; write it as Markdown where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare_sdk", description=__doc__)
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    if not SDK_PYTHON.exists():
        sys.stderr.write("The SDK's environment is missing: run make compare-sdk.\n")
        return 2
    console = Console()
    there = dict(reference())
    rows = [(fault or "none", here, there[fault]) for fault, here in ours()]
    table = Table("fault", "this endpoint", "sagemaker.train.rft 1.27.0")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if options.markdown:
        write(options.markdown, rows)
    return 0


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """Replace the table in a document, and the date above it."""
    lines = ["| fault | this endpoint | `sagemaker.train.rft` 1.27.0 |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    date = f"Measured {datetime.now(UTC).date()} with `make compare-sdk`."
    block = "<!-- table -->\n" + "\n".join([date, "", *lines]) + "\n<!-- end -->"
    text = path.read_text()
    path.write_text(re.sub(r"<!-- table -->.*<!-- end -->", lambda _: block, text, flags=re.DOTALL))


if __name__ == "__main__":
    sys.exit(main())
