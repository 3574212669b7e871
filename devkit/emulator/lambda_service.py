"""The Lambda service on a laptop: named asynchronous starts, AWS's local durable runner behind them.

It answers ``Invoke`` as Lambda does. A named start becomes a durable execution in the runner; the
runner's own invocations run the handler; checkpoints and queries pass through to the runner. An
execution that fails, times out or is stopped is sent on as EventBridge would send it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from devkit.emulator.gateway import Handler, LambdaContext
from devkit.emulator.server import Server, free_port

WORKER = "arn:aws:lambda:us-west-2:123456789012:function:rollout-worker:live"
_INVOKED_BY_RUNNER = "x-dex-handler-invoke"
_EXECUTION = "x-amz-durable-execution-name"
_NOT_FOUND = 404
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
    """Lambda's Invoke and durable execution API on loopback.

    Args:
        invoke: runs the worker.
        store: directory of the runner's SQLite store; what runs there goes on.
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
        store: Path,
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
        self._server = Server(self._answer, port, address)
        self.url = self._server.url
        self._timeout = execution_timeout
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="worker")
        self._names: dict[str, tuple[str, str]] = {}
        self._starting = asyncio.Lock()
        self._runner_port = free_port()
        self._runner_url = f"http://127.0.0.1:{self._runner_port}"
        self._http = httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=256))
        store.mkdir(parents=True, exist_ok=True)
        self._command = [
            sys.executable, "-m", "devkit.emulator.durable_runner", "--port", str(self._runner_port),
            "--lambda-endpoint", self.url, "--store", str(store / "executions.db"),
            "--concurrency", str(concurrency), "--backoff", str(backoff),
            "--attempts", str(attempts),
        ]  # fmt: skip
        self._runner: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._server.start()
        self.start_runner()
        return self

    def start_runner(self) -> None:
        """Start the runner; it takes up the executions that have not ended."""
        environ = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 - the simulator takes any
        }
        root = str(Path(__file__).resolve().parents[2])
        environ["PYTHONPATH"] = os.pathsep.join([root, environ.get("PYTHONPATH", "")])
        # In a session of its own: Ctrl-C in a terminal is for the stack, which waits for what is in
        # flight and then stops the runner; the runner ends by itself when its parent is gone.
        self._runner = subprocess.Popen(  # noqa: S603 - our own module
            self._command, env=environ, start_new_session=True
        )
        for _ in range(600):
            if self._runner.poll() is not None:
                raise RuntimeError("the local durable runner did not start")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._runner_port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError("the local durable runner did not get ready")

    def kill_runner(self) -> None:
        """End the runner as a crash would."""
        if self._runner is not None:
            self._runner.kill()
            self._runner.wait()

    def __exit__(self, *_: object) -> None:
        self.kill_runner()
        self._server.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def executions(self, status: str = "") -> list[dict[str, Any]]:
        """The worker's executions as ListDurableExecutionsByFunction tells them."""
        query = {"MaxItems": "1000", **({"StatusFilter": status} if status else {})}
        found: list[dict[str, Any]] = []
        while True:
            answer = httpx.get(self._runner_url + _LISTING, params=query, timeout=60).json()
            found.extend(answer.get("DurableExecutions", []))
            if not answer.get("NextMarker"):
                return found
            query["Marker"] = answer["NextMarker"]

    # --- serving --------------------------------------------------------------------------------

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        if not request.url.path.endswith("/invocations"):
            response = await self._pass_on(request, body)
        elif _INVOKED_BY_RUNNER in request.headers:
            response = await self._run(body, self.invoke)
        elif (name := request.url.path.split("/")[-2]) in self._functions:
            response = await self._run(body, self._functions[name])
        else:
            response = await self._start(request.headers.get(_EXECUTION, ""), body)
        await response(scope, receive, send)

    async def _run(self, body: bytes, function: Invoke) -> Response:
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._pool, function, json.loads(body or b"{}"))
            return Response(json.dumps(answer), media_type="application/json")
        except Exception as error:  # noqa: BLE001 - whatever it is, Lambda calls it a function error
            document = {"errorType": type(error).__name__, "errorMessage": ""}
            return JSONResponse(document, headers={"X-Amz-Function-Error": "Unhandled"})

    async def _start(self, name: str, body: bytes) -> Response:
        if self.refuse_starts > 0:
            self.refuse_starts -= 1
            headers = {"x-amzn-ErrorType": "TooManyRequestsException", "Retry-After": "1"}
            return JSONResponse({"message": "Rate Exceeded."}, 429, headers)
        if self.hold_starts:
            self.held.append(body)
            return Response(status_code=202)
        async with self._starting:
            started = self._names.get(name) or await self._started(name)
            if started is None:
                started = (await self._launch(name, body), body.decode())
                self._names[name] = started
        if started[1] != body.decode():
            headers = {"x-amzn-ErrorType": "DurableExecutionAlreadyStartedException"}
            return JSONResponse({"Message": "The name is taken."}, 409, headers)
        return Response(status_code=202, headers={"X-Amz-Durable-Execution-Arn": started[0]})

    async def _launch(self, name: str, body: bytes) -> str:
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
        answer = await self._http.post(f"{self._runner_url}{_START}", json=document)
        answer.raise_for_status()
        return answer.json()["ExecutionArn"]

    async def _started(self, name: str) -> tuple[str, str] | None:
        """An execution of this name from before a restart; the runner itself takes a name twice."""
        named = {"DurableExecutionName": name}
        answer = await self._http.get(self._runner_url + _LISTING, params=named)
        for execution in answer.json().get("DurableExecutions", []):
            arn = execution["DurableExecutionArn"]
            quoted = httpx.QueryParams({"a": arn}).__str__()[2:]
            answer = await self._http.get(
                f"{self._runner_url}/2025-12-01/durable-executions/{quoted}"
            )
            return arn, answer.json().get("InputPayload", "")
        return None

    async def _pass_on(self, request: Request, body: bytes) -> Response:
        if request.url.path == _START:
            body = _with_numbers(body)
        raw = request.scope["raw_path"].decode()
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {"content-type": "application/json"}
        try:
            answer = await self._http.request(
                request.method, self._runner_url + raw + query, content=body, headers=headers
            )
        except httpx.HTTPError:  # the runner is gone, or not yet back
            return JSONResponse({"Message": "The runner does not answer."}, 503)
        kept = {k: v for k, v in answer.headers.items() if k.lower().startswith("x-amzn")}
        if (
            answer.status_code == _NOT_FOUND
        ):  # Lambda names the error in a header, the runner does not
            kept["x-amzn-ErrorType"] = "ResourceNotFoundException"
        return Response(answer.content, answer.status_code, kept, "application/json")


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
