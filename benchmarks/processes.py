"""Starts a variant: under the Runtime Interface Emulator, or as a player that does what it is told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from benchmarks.packages import PYTHON, ROOT, Variant
from devkit.emulator.server import free_port

_RIE = ROOT / ".tools/sam/lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"


@dataclass(frozen=True, slots=True)
class Emulated:
    """A variant under the emulator; its runtime starts at the first invocation."""

    url: str
    emulator: subprocess.Popen[bytes]

    def invoke(self, event: dict[str, Any]) -> float:
        """Seconds an invocation takes; it must be answered 200."""
        began = time.perf_counter()
        answer = httpx.post(self.url, json=event, timeout=120).json()
        seconds = time.perf_counter() - began
        if answer.get("statusCode") != 200:
            raise SystemExit(f"{event['path']} was answered {answer}")
        return seconds

    def resident(self) -> int:
        """Bytes the function's process has resident."""
        status = (self._process() / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def processor(self) -> float:
        """Seconds of processor the function's process has had, from its start; in steps of 10 ms."""
        fields = (self._process() / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _process(self) -> Path:
        children = Path(f"/proc/{self.emulator.pid}/task").glob("*/children")
        return Path("/proc") / next(pid for file in children for pid in file.read_text().split())


@contextmanager
def emulated(variant: Variant, environ: dict[str, str]) -> Iterator[Emulated]:
    """A fresh emulator for one variant."""
    port = free_port()
    command = [str(_RIE), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
    command += [str(PYTHON), "-m", "awslambdaric", variant.handler]
    known = {**os.environ, **environ, **variant.environ(), "AWS_LAMBDA_FUNCTION_TIMEOUT": "60"}
    with subprocess.Popen(
        command, env=known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        try:
            _wait_for(port)
            url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
            yield Emulated(url, running)
        finally:
            running.kill()


def _wait_for(port: int) -> None:
    for _ in range(250):
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
            return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise SystemExit("The emulator did not start.")


class Player:
    """A variant's module in a process of its own.

    Args:
        variant: whose packages it has.
        environ: of the stack it plays on.
    """

    def __init__(self, variant: Variant, environ: dict[str, str]) -> None:
        self._name = variant.name
        self._process = subprocess.Popen(
            [str(PYTHON), "-W", "ignore", str(variant.code / "player.py"), variant.module],
            env={**os.environ, **environ, **variant.environ()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Let it obey one command of ``benchmarks/player.py``."""
        sending, answers = self._process.stdin, self._process.stdout
        if sending is None or answers is None:
            raise RuntimeError("the player has no pipes")
        sending.write(json.dumps({"do": command, **arguments}) + "\n")
        sending.flush()
        answer = answers.readline()
        if not answer:
            raise SystemExit(f"{self._name} stopped at {command}; its error is above.")
        return json.loads(answer)
