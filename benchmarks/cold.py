"""First invocation under the real Runtime Interface Emulator, beside the peers.

``python benchmarks/cold.py [--rounds N]``. Every round starts each variant anew, in turn; the figures
are medians and their ratio to the bare handler of the same run. Ours does more than the peers: it
also accepts the rollout in DynamoDB, records its ending there and stores the trajectory in S3.
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

from local.gateway import proxy_event
from local.stack import LocalStack

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".aws-sam" / "x86_64"
LAYERS = [str(BUILT / "DependenciesX86" / "python"), str(ROOT / "layers/rollout/python")]
SITE = next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages"
RIE = next((ROOT / ".tools/sam/lib").glob("python3*"))
RIE = RIE / "site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"
VARIANTS = {
    "bare handler": "benchmarks.peers.bare.handler",
    "ours": "api.handler",
    "Starlette + Mangum": "benchmarks.peers.starlette_mangum.handler",
    "FastAPI + Mangum": "benchmarks.peers.fastapi_mangum.handler",
}


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def first_invocation(handler: str, event: dict[str, object], environ: dict[str, str]) -> float:
    """Seconds the first invocation of a fresh emulator takes; the runtime starts with it."""
    port = _port()
    command = [str(RIE), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{_port()}"]
    command += [sys.executable, "-m", "awslambdaric", handler]
    paths = [str(BUILT / "ApiFunction"), *LAYERS, str(ROOT), str(SITE)]
    environ = {**os.environ, **environ, "PYTHONPATH": ":".join(paths)}
    environ |= {"AWS_LAMBDA_FUNCTION_TIMEOUT": "30", "AWS_LAMBDA_FUNCTION_NAME": "bench"}
    running = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        began = time.perf_counter()
        answer = httpx.post(url, json=event, timeout=60).json()
        seconds = time.perf_counter() - began
        if answer.get("statusCode") != 200:
            raise SystemExit(f"{handler} answered {answer}")
        return seconds
    finally:
        running.kill()
        running.wait()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    seconds: dict[tuple[str, str], list[float]] = {}
    with LocalStack(lambda asked: {"content": "#### 33"}) as stack:
        for number in range(rounds + 1):
            for name, handler in VARIANTS.items():
                body = json.dumps(stack.request(f"{handler}-{number}", _ROW)).encode()
                events = {
                    "/health": proxy_event("GET", "/health"),
                    "/rollout": proxy_event("POST", "/rollout", body=body, headers=_JSON),
                }
                for path, event in events.items():
                    took = first_invocation(handler, event, stack.environ())
                    if number:  # the first round warms the disk
                        seconds.setdefault((path, name), []).append(took)
    for path in ("/health", "/rollout"):
        bare = statistics.median(seconds[path, "bare handler"])
        print(f"\nfirst invocation of {path}, {rounds} rounds")
        for name in VARIANTS:
            median = statistics.median(seconds[path, name])
            print(f"  {name:20} {median * 1000:7.0f} ms  {median / bare:5.2f} x bare")


_JSON = [("Content-Type", "application/json")]
_ROW = {
    "question": "A bakery makes 24 rolls in each of 5 trays and sells 87. Left?",
    "answer": "#### 33",
}

if __name__ == "__main__":
    main()
