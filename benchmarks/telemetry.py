"""What logs, metrics and traces cost a cold start: first invocations, variants in turn, as ratios.

``python benchmarks/telemetry.py [--rounds N] [--before CHECKOUT]``. Needs ``make build``. A variant is
the API's handler under the Runtime Interface Emulator: with metrics off, as deployed (metrics on,
tracing off), with OpenTelemetry on, as another checkout has it. The first round warms the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

from devkit.emulator.gateway import proxy_event
from devkit.emulator.server import free_port
from devkit.emulator.stack import EmulatedStack

ROOT = Path(__file__).resolve().parent.parent
DEPENDENCIES = ROOT / ".aws-sam/x86_64/DependenciesX86/python"
SITE = next((ROOT / ".venv/lib").glob("python3*")) / "site-packages"
RIE = next((ROOT / ".tools/sam/lib").glob("python3*"))
RIE = RIE / "site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"
AS_DEPLOYED = "as deployed"
VARIANTS = {
    "metrics off": {"POWERTOOLS_METRICS_DISABLED": "true"},
    AS_DEPLOYED: {},
    "OpenTelemetry on": {"ROLLOUT_OTEL": "true"},
}
ROW = {"question": "24 rolls in each of 5 trays, 87 sold. Left?", "answer": "#### 33"}


def first_invocation(
    checkout: Path, event: dict[str, object], environ: dict[str, str]
) -> tuple[float, float]:
    """Seconds, and seconds of processor, that the first invocation of a fresh emulator takes."""
    port = free_port()
    command = [str(RIE), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
    command += [sys.executable, "-m", "awslambdaric", "api.handler"]
    places = [checkout / "functions/rollout", DEPENDENCIES, checkout / "layers/rollout/python"]
    known = {**os.environ, **environ, "PYTHONPATH": ":".join(map(str, [*places, SITE]))}
    known |= {"AWS_LAMBDA_FUNCTION_TIMEOUT": "60", "AWS_LAMBDA_FUNCTION_NAME": "bench"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=known, stdout=quiet, stderr=quiet) as running:
        try:
            for _ in range(250):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
            began = time.perf_counter()
            answer = httpx.post(url, json=event, timeout=120).json()
            seconds = time.perf_counter() - began
            spent = processor_seconds(running.pid)
        finally:
            running.kill()
    if answer.get("statusCode") != 200:
        raise SystemExit(f"answered {answer}")
    return seconds, spent


def processor_seconds(emulator: int) -> float:
    """What the emulator's one child, the runtime, has used so far; steadier than the clock."""
    children = Path(f"/proc/{emulator}/task").glob("*/children")
    runtime = next(pid for file in children for pid in file.read_text().split())
    fields = Path(f"/proc/{runtime}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    options = parser.parse_args()
    variants = {name: (ROOT, more) for name, more in VARIANTS.items()}
    if options.before:
        variants["the other checkout"] = (options.before.resolve(), {})
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with EmulatedStack(lambda asked: {"content": "#### 33"}) as stack:
        deployed = {**stack.environ(), "POWERTOOLS_METRICS_DISABLED": "false"}
        deployed["POWERTOOLS_LOG_LEVEL"] = "INFO"
        for number in range(options.rounds + 1):
            for name, (checkout, more) in variants.items():
                body = json.dumps(stack.request(f"{name} {number}".replace(" ", "-"), ROW)).encode()
                events = {
                    "/health": proxy_event("GET", "/health"),
                    "/rollout": proxy_event("POST", "/rollout", body=body),
                }
                for path, event in events.items():
                    took = first_invocation(checkout, event, {**deployed, **more})
                    if number:
                        seconds.setdefault((path, name), []).append(took)
    for path in ("/health", "/rollout"):
        print(f"\nfirst invocation of {path}, {options.rounds} rounds, x {AS_DEPLOYED}")
        base = [
            statistics.median(column) for column in zip(*seconds[path, AS_DEPLOYED], strict=True)
        ]
        for name in variants:
            wall, spent = (statistics.median(c) for c in zip(*seconds[path, name], strict=True))
            print(
                f"  {name:20} {wall * 1000:6.0f} ms {wall / base[0]:5.2f} x"
                f"   processor {spent * 1000:6.0f} ms {spent / base[1]:5.2f} x"
            )


if __name__ == "__main__":
    main()
