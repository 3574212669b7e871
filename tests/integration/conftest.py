"""Real processes the integration tests run against."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conftest import ROOT

SAM = ROOT / ".tools" / "sam"
RIE = SAM / "lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


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
