"""AWS's local durable runner: here and in memory, or as a process that goes on after a restart.

Both are AWS's runner with three things it lacks (version 1.4.0): executions that were running when
it died are taken up again, more than six run at once, and the pause after a failed invocation can be
set. They reach into the runner, whose version is pinned; the restart has a test.

``python -m devkit.emulator.durable_runner`` is ``dex-local-runner start-server`` with these.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import httpx
from aws_durable_execution_sdk_python_testing.exceptions import AwsApiException, ServiceException
from aws_durable_execution_sdk_python_testing.runner import WebRunner, WebRunnerConfig
from aws_durable_execution_sdk_python_testing.stores.base import StoreType
from aws_durable_execution_sdk_python_testing.threads import DaemonThreadPool
from aws_durable_execution_sdk_python_testing.web.models import HTTPRequest, HTTPResponse
from aws_durable_execution_sdk_python_testing.web.server import RequestHandler, WebServiceConfig

from devkit.emulator.server import free_port

Answer = tuple[int, dict[str, str], bytes]
_REGION = "us-west-2"


class Runner(Protocol):
    """Keeps durable executions and invokes their function."""

    def start(self, endpoint: str) -> None:
        """Start, and take up what has not ended.

        Args:
            endpoint: where functions are invoked.
        """
        ...

    def ask(self, method: str, target: str, body: bytes) -> Answer:
        """Answer a request of Lambda's durable execution API: status, headers, body.

        Args:
            target: path and query.

        Raises:
            OSError: it does not run.
        """
        ...

    def stop(self) -> None:
        """End, as a crash would."""
        ...


class RunnerHere:
    """The runner in this process, its executions in memory.

    Args:
        concurrency: invocations at once.
        backoff: seconds after a failed invocation.
        attempts: failed invocations in a row at most.
    """

    def __init__(self, concurrency: int, backoff: int, attempts: int) -> None:
        self._concurrency = concurrency
        self._backoff, self._attempts = backoff, attempts
        self._runner: Any = None

    def start(self, endpoint: str) -> None:
        """Start it; there is nothing to take up."""
        before = logging.root.level
        config = _config(endpoint, 0, StoreType.MEMORY, None)
        self._runner = ResumingRunner(
            config, self._concurrency, backoff=self._backoff, attempts=self._attempts
        )
        self._runner.start()
        logging.root.setLevel(before)  # the runner's web server sets it
        logging.getLogger("aws_durable_execution_sdk_python_testing").setLevel(logging.CRITICAL)

    def ask(self, method: str, target: str, body: bytes) -> Answer:
        """Answer as the runner's own web server does, without a socket."""
        if self._runner is None:
            raise ConnectionRefusedError
        try:
            answer = self._answer(method, target, body)
        except Exception as error:  # noqa: BLE001 - as the runner's server does
            known = error if isinstance(error, AwsApiException) else ServiceException(str(error))
            answer = HTTPResponse.create_error_from_exception(known)
        content = answer.body_to_bytes() if answer.body else b""
        return answer.status_code, dict(answer.headers), content

    def _answer(self, method: str, target: str, body: bytes) -> HTTPResponse:
        server, where = self._runner._server, urlsplit(target)  # noqa: SLF001 - see the module
        route = server.router.find_route(where.path, method)
        request = HTTPRequest.from_bytes(
            body_bytes=body,
            operation_name=None,
            method=method,
            path=route,
            headers={},
            query_params=parse_qs(where.query),
        )
        return server.endpoint_handlers[type(route)].handle(route, request)

    def stop(self) -> None:
        """Stop it; what still runs is not invoked again."""
        runner, self._runner = self._runner, None
        if runner is not None:
            loop = runner._scheduler._loop  # noqa: SLF001 - which it leaves open
            runner.stop()
            if not loop.is_running():
                loop.close()


class RunnerProcess:
    """The runner in a process of its own, its executions in a file: it may be killed and goes on.

    Args:
        store: of the executions, an SQLite file.
        concurrency, backoff, attempts: as :class:`RunnerHere`.
    """

    def __init__(self, store: Path, concurrency: int, backoff: int, attempts: int) -> None:
        self._port = free_port()
        self._options = [
            "--port", str(self._port), "--store", str(store), "--concurrency", str(concurrency),
            "--backoff", str(backoff), "--attempts", str(attempts),
        ]  # fmt: skip
        self._http: httpx.Client | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, endpoint: str) -> None:
        """Start it; it takes up the executions that have not ended."""
        environ = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 - the simulator takes any
        }
        root = str(Path(__file__).resolve().parents[2])
        environ["PYTHONPATH"] = os.pathsep.join([root, environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "devkit.emulator.durable_runner", *self._options]
        command += ["--lambda-endpoint", endpoint]
        # In a session of its own: Ctrl-C in a terminal is for the stack, which waits for what is in
        # flight and then stops the runner; the runner ends by itself when its parent is gone.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, env=environ, start_new_session=True
        )
        url, limits = f"http://127.0.0.1:{self._port}", httpx.Limits(max_connections=256)
        self._http = httpx.Client(base_url=url, timeout=120, limits=limits)
        for _ in range(600):
            if self._process.poll() is not None:
                raise RuntimeError("the local durable runner did not start")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError("the local durable runner did not get ready")

    def ask(self, method: str, target: str, body: bytes) -> Answer:
        """Pass a request on."""
        headers = {"content-type": "application/json"}
        if self._http is None:
            raise ConnectionRefusedError
        try:
            answer = self._http.request(method, target, content=body, headers=headers)
        except (httpx.HTTPError, RuntimeError) as error:  # or the client has just been closed
            raise ConnectionRefusedError from error
        return answer.status_code, dict(answer.headers), answer.content

    def stop(self) -> None:
        """Kill it."""
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class ResumingRunner(WebRunner):
    """Takes up what was running when the process before it ended."""

    def __init__(
        self, config: WebRunnerConfig, concurrency: int, *, backoff: int, attempts: int
    ) -> None:
        super().__init__(config)
        self._concurrency = concurrency
        self._backoff, self._attempts = backoff, attempts

    def start(self) -> None:
        """Start everything, then invoke the executions that have not ended."""
        super().start()
        executor: Any = self._executor
        executor.RETRY_BACKOFF_SECONDS = self._backoff
        executor.MAX_CONSECUTIVE_FAILED_ATTEMPTS = self._attempts
        executor._invocation_pool = DaemonThreadPool(self._concurrency, "durable-invocation")  # noqa: SLF001
        store: Any = self._store
        for execution in store.list_all():
            if not execution.is_complete:
                seconds = execution.start_input.execution_timeout_seconds
                executor._launch_execution(execution, seconds)  # noqa: SLF001


def _config(endpoint: str, port: int, kind: StoreType, store: str | None) -> WebRunnerConfig:
    return WebRunnerConfig(
        web_service=WebServiceConfig("127.0.0.1", port, logging.CRITICAL),
        lambda_endpoint=endpoint,
        local_runner_endpoint=f"http://127.0.0.1:{port}",
        local_runner_region=_REGION,
        store_type=kind,
        store_path=store,
    )


def _end_with(parent: int) -> None:
    """End when the process that started this one is gone: two runners must not share a store."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


def _end(*_: object) -> None:
    sys.exit(0)


def main() -> int:
    """Run until terminated."""
    parser = argparse.ArgumentParser(
        prog="python -m devkit.emulator.durable_runner", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lambda-endpoint", required=True, help="where functions are invoked")
    parser.add_argument("--store", required=True, help="path of the SQLite store")
    parser.add_argument("--concurrency", type=int, default=64, help="invocations at once")
    parser.add_argument("--backoff", type=int, default=5, help="seconds after a failed invocation")
    parser.add_argument(
        "--attempts", type=int, default=5, help="failed invocations in a row at most"
    )
    options = parser.parse_args()
    # Its answers are written in two pieces, which Nagle's algorithm delays by 40 ms each.
    RequestHandler.disable_nagle_algorithm = True
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    config = _config(options.lambda_endpoint, options.port, StoreType.SQLITE, options.store)
    logging.disable(logging.ERROR)
    runner = ResumingRunner(
        config, options.concurrency, backoff=options.backoff, attempts=options.attempts
    )
    with runner:
        runner.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
