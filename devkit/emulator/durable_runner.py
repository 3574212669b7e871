"""AWS's local durable runner as a process that goes on after a restart.

``python -m devkit.emulator.durable_runner`` is ``dex-local-runner start-server`` with three things it
lacks (version 1.4.0): executions that were running when it died are taken up again, more
than six run at once, and the pause after a failed invocation can be set. They reach into
the runner, whose version is pinned; the restart has a test.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from aws_durable_execution_sdk_python_testing.executor import Executor
from aws_durable_execution_sdk_python_testing.runner import WebRunner, WebRunnerConfig
from aws_durable_execution_sdk_python_testing.stores.base import StoreType
from aws_durable_execution_sdk_python_testing.threads import DaemonThreadPool
from aws_durable_execution_sdk_python_testing.web.server import RequestHandler, WebServiceConfig


class ResumingRunner(WebRunner):
    """Takes up what was running when the process before it ended."""

    def __init__(self, config: WebRunnerConfig, concurrency: int) -> None:
        super().__init__(config)
        self._concurrency = concurrency

    def start(self) -> None:
        """Start everything, then invoke the executions that have not ended."""
        super().start()
        executor: Any = self._executor
        executor._invocation_pool = DaemonThreadPool(self._concurrency, "durable-invocation")  # noqa: SLF001
        store: Any = self._store
        for execution in store.list_all():
            if not execution.is_complete:
                seconds = execution.start_input.execution_timeout_seconds
                executor._launch_execution(execution, seconds)  # noqa: SLF001


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
    parser.add_argument("--region", default="us-west-2")
    parser.add_argument("--concurrency", type=int, default=64, help="invocations at once")
    parser.add_argument("--backoff", type=int, default=5, help="seconds after a failed invocation")
    parser.add_argument(
        "--attempts", type=int, default=5, help="failed invocations in a row at most"
    )
    options = parser.parse_args()
    # Its answers are written in two pieces, which Nagle's algorithm delays by 40 ms each.
    RequestHandler.disable_nagle_algorithm = True
    Executor.RETRY_BACKOFF_SECONDS = options.backoff
    Executor.MAX_CONSECUTIVE_FAILED_ATTEMPTS = options.attempts
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    config = WebRunnerConfig(
        web_service=WebServiceConfig("127.0.0.1", options.port, logging.CRITICAL),
        lambda_endpoint=options.lambda_endpoint,
        local_runner_endpoint=f"http://127.0.0.1:{options.port}",
        local_runner_region=options.region,
        store_type=StoreType.SQLITE,
        store_path=options.store,
    )
    logging.disable(logging.ERROR)
    with ResumingRunner(config, options.concurrency) as runner:
        runner.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
