"""The Lambda service on a laptop: named asynchronous starts, AWS's local durable runner behind them.

It answers ``Invoke`` as Lambda does. A named start becomes a durable execution in the runner; the
runner's own invocations run the handler; checkpoints and queries pass through to the runner. An
execution that fails, times out or is stopped is sent on as EventBridge would send it.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from devkit.emulator.durable_runner import Runner, RunnerHere, RunnerProcess
from devkit.emulator.gateway import Handler, LambdaContext
from devkit.emulator.in_process import Answer, answering
from devkit.emulator.server import Server

WORKER = "arn:aws:lambda:us-west-2:123456789012:function:rollout-worker:live"
_INVOKED_BY_RUNNER = "x-dex-handler-invoke"
_EXECUTION = "x-amz-durable-execution-name"
_INVOCATIONS = "/invocations"
_BAD, _NOT_FOUND = 400, 404
_START = "/start-durable-execution"
_LISTING = "/2025-12-01/functions/worker/durable-executions"
_ENDED_BADLY = ("FAILED", "TIMED_OUT", "STOPPED")

# Runs one invocation of a function; raises where Lambda would report a function error.
Invoke = Callable[[dict[str, Any]], Any]


class InProcess:
    """Invokes a function in this process; each thread is an execution environment.

    Args:
        environment: makes an environment's handler, at its first invocation.
        timeout: the function's own limit, seconds.
        name: the function's.
    """

    def __init__(
        self,
        environment: Callable[[], Handler],
        timeout: float = 900.0,
        name: str = "rollout-worker",
    ) -> None:
        self._name = name
        self._environment = environment
        self._environments = threading.local()
        self._timeout = timeout

    def __call__(self, event: dict[str, Any]) -> Any:
        if not hasattr(self._environments, "handler"):
            self._environments.handler = self._environment()
        context = LambdaContext(function_name=self._name, timeout=self._timeout)
        return self._environments.handler(event, context)


class LambdaService:
    """Lambda's Invoke and durable execution API; boto3 clients of this process reach it without a socket.

    Args:
        invoke: runs the worker.
        store: directory of the runner's SQLite store; what runs there goes on. None: executions are kept
            in memory, by a runner in this process.
        port: 0 picks a free one.
        concurrency: invocations at once.
        execution_timeout: the worker's DurableConfig.ExecutionTimeout, seconds.
        backoff: seconds the runner waits after a failed invocation.
        attempts: failed invocations in a row after which an execution fails.
        functions: plain functions by name; the worker is every other name.
        address: a further address of this machine to listen on.
    """

    def __init__(
        self,
        invoke: Invoke,
        store: Path | None = None,
        *,
        port: int = 0,
        concurrency: int = 64,
        execution_timeout: int = 14_400,
        backoff: int = 5,
        attempts: int = 5,
        functions: Mapping[str, Invoke] | None = None,
        address: str = "",
    ) -> None:
        self.invoke = invoke
        self._functions = dict(functions or {})
        # How many starts are refused on purpose, as when Lambda throttles.
        self.refuse_starts = 0
        self.starts = 0
        # Starts are answered, kept here and not made: a worker is to be invoked with them by hand.
        self.hold_starts = False
        self.held: list[bytes] = []
        self._server = Server(self._serve, port, address)
        self.url = self._server.url
        self._timeout = execution_timeout
        # Functions run long; what they ask meanwhile must not wait for their end.
        self._invocations = ThreadPoolExecutor(concurrency, thread_name_prefix="worker")
        self._requests = ThreadPoolExecutor(concurrency, thread_name_prefix="lambda")
        self._names: dict[str, tuple[str, str]] = {}
        self._starting = threading.Lock()
        self._open = ExitStack()
        if store is None:
            self._runner: Runner = RunnerHere(concurrency, backoff, attempts)
        else:
            store.mkdir(parents=True, exist_ok=True)
            self._runner = RunnerProcess(store / "executions.db", concurrency, backoff, attempts)

    def __enter__(self) -> Self:
        self._open.enter_context(self._server)
        self._open.enter_context(answering(self.url, self.answer))
        self.start_runner()
        return self

    def start_runner(self) -> None:
        """Start the runner; it takes up the executions that have not ended."""
        self._runner.start(self.url)

    def kill_runner(self) -> None:
        """End the runner as a crash would."""
        self._runner.stop()

    def __exit__(self, *_: object) -> None:
        self.kill_runner()
        self._open.close()
        for pool in (self._invocations, self._requests):
            pool.shutdown(wait=False, cancel_futures=True)

    def executions(self, status: str = "") -> list[dict[str, Any]]:
        """The worker's executions as ListDurableExecutionsByFunction tells them."""
        query = {"MaxItems": "1000", **({"StatusFilter": status} if status else {})}
        found: list[dict[str, Any]] = []
        while True:
            answer = self._ask("GET", f"{_LISTING}?{urlencode(query)}")
            found.extend(answer.get("DurableExecutions", []))
            if not answer.get("NextMarker"):
                return found
            query["Marker"] = answer["NextMarker"]

    # --- answering ------------------------------------------------------------------------------

    def answer(
        self, method: str, where: SplitResult, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer one request; an invocation runs in the thread that asks for it."""
        if not where.path.endswith(_INVOCATIONS):
            return self._pass_on(method, where, body)
        function = self._function(where, headers)
        if function is not None:
            return _run(body, function)
        return self._start(headers.get(_EXECUTION, ""), body)

    def _function(self, where: SplitResult, headers: Mapping[str, str]) -> Invoke | None:
        """What a request runs here and now; None where it starts an execution, or asks of one."""
        if not where.path.endswith(_INVOCATIONS):
            return None
        if _INVOKED_BY_RUNNER in headers:
            return self.invoke
        return self._functions.get(where.path.split("/")[-2])

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        where = urlsplit(f"{scope['raw_path'].decode()}?{request.url.query}")
        headers = dict(request.headers)
        runs = self._function(where, headers) is not None
        pool = self._invocations if runs else self._requests
        body, loop = await request.body(), asyncio.get_running_loop()
        status, answered, content = await loop.run_in_executor(
            pool, self.answer, request.method, where, headers, body
        )
        await Response(content, status, dict(answered))(scope, receive, send)

    def _start(self, name: str, body: bytes) -> Answer:
        if self.refuse_starts > 0:
            self.refuse_starts -= 1
            headers = {"x-amzn-ErrorType": "TooManyRequestsException", "Retry-After": "1"}
            return _json(429, {"message": "Rate Exceeded."}, headers)
        if self.hold_starts:
            self.held.append(body)
            return 202, {}, b""
        with self._starting:
            started = self._names.get(name) or self._started(name)
            if started is None:
                started = (self._launch(name, body), body.decode())
                self._names[name] = started
        if started[1] != body.decode():
            headers = {"x-amzn-ErrorType": "DurableExecutionAlreadyStartedException"}
            return _json(409, {"Message": "The name is taken."}, headers)
        return 202, {"X-Amz-Durable-Execution-Arn": started[0]}, b""

    def _launch(self, name: str, body: bytes) -> str:
        self.starts += 1
        document = {
            "AccountId": "123456789012",
            "FunctionName": "worker",
            "FunctionQualifier": "$LATEST",
            "ExecutionName": name,
            "ExecutionTimeoutSeconds": self._timeout,
            "ExecutionRetentionPeriodDays": 7,
            "Input": body.decode(),
        }
        return self._ask("POST", _START, json.dumps(document).encode())["ExecutionArn"]

    def _started(self, name: str) -> tuple[str, str] | None:
        """An execution of this name from before a restart; the runner itself takes a name twice."""
        query = urlencode({"DurableExecutionName": name})
        for execution in self._ask("GET", f"{_LISTING}?{query}").get("DurableExecutions", []):
            arn = execution["DurableExecutionArn"]
            document = self._ask("GET", f"/2025-12-01/durable-executions/{quote(arn, safe='')}")
            return arn, document.get("InputPayload", "")
        return None

    def _ask(self, method: str, target: str, body: bytes = b"") -> dict[str, Any]:
        """What the runner answers.

        Raises:
            OSError: it does not, or not well.
        """
        status, _, content = self._runner.ask(method, target, body)
        if status >= _BAD:
            raise OSError(f"the runner answered {status}")
        return json.loads(content)

    def _pass_on(self, method: str, where: SplitResult, body: bytes) -> Answer:
        if where.path == _START:
            body = _with_numbers(body)
        target = f"{where.path}?{where.query}" if where.query else where.path
        try:
            status, headers, content = self._runner.ask(method, target, body)
        except OSError:  # the runner is gone, or not yet back
            return _json(503, {"Message": "The runner does not answer."})
        kept = {k: v for k, v in headers.items() if k.lower().startswith("x-amzn")}
        kept["content-type"] = "application/json"
        if status == _NOT_FOUND:  # Lambda names the error in a header, the runner does not
            kept["x-amzn-ErrorType"] = "ResourceNotFoundException"
        return status, kept, content


def _run(body: bytes, function: Invoke) -> Answer:
    try:
        return _json(200, function(json.loads(body or b"{}")))
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda calls it a function error
        document = {"errorType": type(error).__name__, "errorMessage": ""}
        return _json(200, document, {"X-Amz-Function-Error": "Unhandled"})


def _json(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
    content = json.dumps(document).encode()
    return status, {"content-type": "application/json", **(headers or {})}, content


def _with_numbers(body: bytes) -> bytes:
    """A start as SAM CLI sends it: a time that is a parameter of the template arrives as text."""
    document: dict[str, Any] = json.loads(body)
    for name in ("ExecutionTimeoutSeconds", "ExecutionRetentionPeriodDays"):
        if isinstance(document.get(name), str):
            document[name] = int(document[name])
    return json.dumps(document).encode()


class EventBus:
    """EventBridge: tells the closer of every execution that ended badly, and calls the sweep.

    Args:
        service: whose executions.
        closer: the handler.
        sweep: the handler of the schedule.
        interval: seconds between looks.
        schedule: seconds between sweeps.
    """

    def __init__(
        self,
        service: LambdaService,
        closer: Handler,
        sweep: Handler,
        *,
        interval: float = 1.0,
        schedule: float = 60.0,
    ) -> None:
        self._service = service
        self._closer = closer
        self._sweep = sweep
        self._interval = interval
        self._schedule = schedule
        self._announced: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def deliver(self) -> None:
        """Tell of what has ended since the last look."""
        for status in _ENDED_BADLY:
            for execution in self._service.executions(status):
                arn = execution["DurableExecutionArn"]
                if arn in self._announced:
                    continue
                event = status_event(arn, execution["DurableExecutionName"], status)
                self._closer(queued(event), LambdaContext(function_name="closer"))
                self._announced.add(arn)

    def _watch(self) -> None:
        swept = time.monotonic()
        while not self._stop.wait(self._interval):
            # An event whose target failed comes again.
            with suppress(Exception):
                self.deliver()
                if time.monotonic() - swept > self._schedule:
                    swept = time.monotonic()
                    self._sweep({}, LambdaContext(function_name="sweep", timeout=300))


def queued(event: dict[str, Any]) -> dict[str, Any]:
    """An event as a function reads it from a queue that EventBridge wrote it to.

    Source: Lambda developer guide, "Using Lambda with Amazon SQS".
    """
    message = {
        "messageId": event["id"],
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": json.dumps(event),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-west-2:123456789012:rollout-ended",
        "awsRegion": "us-west-2",
    }
    return {"Records": [message]}


def status_event(arn: str, name: str, status: str) -> dict[str, Any]:
    """An EventBridge event, as in the Lambda developer guide, "Monitoring durable functions"."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Durable Execution Status Change",
        "source": "aws.lambda",
        "account": "123456789012",
        "time": now,
        "region": "us-west-2",
        "resources": [],
        "detail": {
            "durableExecutionArn": arn,
            "durableExecutionName": name,
            "functionArn": WORKER.rsplit(":", 1)[0] + ":1",
            "status": status,
            "startTimestamp": now,
            "endTimestamp": now,
        },
    }
