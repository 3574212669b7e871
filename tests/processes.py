"""Real processes that tests run against: servers, and built functions under the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from devkit.emulator.server import free_port
from tests.building import ROOT

BUILT = ROOT / ".aws-sam" / "x86_64"
SAM = ROOT / ".tools" / "sam"
RIE = SAM / "lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"


@contextmanager
def process(command: list[str], environ: dict[str, str], log: Path, ready: str) -> Iterator[None]:
    """Run a server until the block ends; fails with its log if it does not get ready."""
    with log.open("wb") as sink:
        running = subprocess.Popen(
            command, env={**os.environ, **environ}, stdout=sink, stderr=sink, start_new_session=True
        )
        try:
            for _ in range(300):
                assert running.poll() is None, log.read_text()[-3000:]
                try:
                    httpx.get(ready, timeout=2)
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            else:
                raise AssertionError(f"{command[0]} did not get ready: {log.read_text()[-3000:]}")
            yield
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def emulator(
    function: str, handler: str, environ: dict[str, str], log: Path, *more: Path
) -> Iterator[str]:
    """A built function under the Runtime Interface Emulator and awslambdaric; yields its invoke URL.

    Args:
        function: the template's resource.
        handler: module.function.
        more: further places to import from, after the built code and layers.
    """
    layers = [
        BUILT / layer / "python" for layer in ("DependenciesX86", "RolloutLayer", "EnvironmentsX86")
    ]
    known = {
        **environ,
        "PYTHONPATH": ":".join(map(str, [BUILT / function, *layers, *more])),
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "LAMBDA_TASK_ROOT": str(BUILT / function),
    }
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(RIE), "--runtime-interface-emulator-address", address,
        "--runtime-api-address", f"127.0.0.1:{free_port()}",
        sys.executable, "-m", "awslambdaric", handler,
    ]  # fmt: skip
    with process(command, known, log, f"http://{address}/"):
        yield f"http://{address}/2015-03-31/functions/function/invocations"
