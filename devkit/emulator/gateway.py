"""A local API Gateway: HTTP in, true REST proxy events for the real handlers, HTTP out.

Source of the event's shape: API Gateway developer guide, "Input format of a Lambda function for proxy
integration".
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

_PAYLOAD_LIMIT = 10 * 1024 * 1024
_INTEGRATION_TIMEOUT = 29.0


@dataclass
class LambdaContext:
    """The part of Lambda's context object that handlers use."""

    function_name: str = "local"
    memory_limit_in_mb: int = 1024
    timeout: float = 30.0
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    invoked_function_arn: str = "arn:aws:lambda:us-west-2:123456789012:function:local"
    started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would stop the function."""
        return max(0, int((self.timeout - (time.monotonic() - self.started)) * 1000))


def proxy_event(
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: list[tuple[str, str]] | None = None,
    query: str = "",
    resource: str = "/{proxy+}",
) -> dict[str, Any]:
    """An API Gateway REST proxy event.

    Args:
        path: decoded, as API Gateway passes it.
        body: text stays text; anything that is not UTF-8 arrives base64-encoded.
    """
    pairs = headers or []
    many: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        many[name].append(value)
    queries: dict[str, list[str]] = defaultdict(list)
    for name, value in parse_qsl(query, keep_blank_values=True):
        queries[name].append(value)
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(body).decode(), True
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": dict(pairs),
        "multiValueHeaders": dict(many),
        "queryStringParameters": {k: v[-1] for k, v in queries.items()} or None,
        "multiValueQueryStringParameters": dict(queries) or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "httpMethod": method,
            "identity": {"sourceIp": "127.0.0.1", "userAgent": "local"},
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid.uuid4()),
            "requestTimeEpoch": int(time.time() * 1000),
            "resourcePath": resource,
            "stage": "local",
        },
        "body": text or None,
        "isBase64Encoded": encoded,
    }


class Gateway:
    """An ASGI application that invokes a Lambda handler for every request.

    Args:
        environment: makes one execution environment's handler. As in Lambda, an environment takes
            one invocation at a time; each thread here is an environment.
        concurrency: environments at most.
        timeout: the function's own limit, seconds.
    """

    def __init__(
        self,
        environment: Callable[[], Handler],
        *,
        concurrency: int = 64,
        timeout: float = 30.0,
    ) -> None:
        self._environments = threading.local()
        self._environment = environment
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="lambda")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    def invoke(self, event: dict[str, Any], context: LambdaContext) -> Response:
        """Have the calling thread's environment handle an event; whatever it raises is a 502."""
        try:
            if not hasattr(self._environments, "handler"):
                self._environments.handler = self._environment()
            return _response(self._environments.handler(event, context))
        except Exception:  # noqa: BLE001 - whatever a handler raises, API Gateway answers 502
            return JSONResponse({"message": "Internal server error"}, 502)

    def context(self) -> LambdaContext:
        """The context of one invocation that begins now."""
        return LambdaContext(timeout=self._timeout)

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        if len(body) > _PAYLOAD_LIMIT:
            return JSONResponse({"message": "Request Too Long"}, 413)
        event = proxy_event(
            request.method,
            request.url.path,
            body=body,
            headers=list(request.headers.items()),
            query=request.url.query,
        )
        loop = asyncio.get_running_loop()
        invocation = loop.run_in_executor(self._pool, self.invoke, event, self.context())
        try:
            return await asyncio.wait_for(invocation, _INTEGRATION_TIMEOUT)
        except TimeoutError:
            return JSONResponse({"message": "Endpoint request timed out"}, 504)


class InProcessTransport(httpx.BaseTransport):
    """Carries a client's requests to a gateway of its own process: the event is real, the wire is not.

    Each of the client's threads is an execution environment. A request is not cut off after the 29 s
    that API Gateway waits: for what may take so long there is the socket.

    Args:
        gateway: of the stack.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Invoke the handler with the proxy event of a request."""
        event = proxy_event(
            request.method,
            request.url.path,
            body=request.read(),
            headers=list(request.headers.items()),
            query=request.url.query.decode(),
        )
        answer = self._gateway.invoke(event, self._gateway.context())
        return httpx.Response(
            answer.status_code, headers=answer.raw_headers, content=bytes(answer.body)
        )


def environment_of(source: Path, function: str = "handler") -> Callable[[], Handler]:
    """Makes environments of a handler's file: each executes the module anew, as a cold start does."""

    def environment() -> Handler:
        spec = importlib.util.spec_from_file_location(source.stem, source)
        if spec is None or spec.loader is None:
            raise ImportError(f"{source} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, function)

    return environment


def _response(answer: Any) -> Response:
    proxied = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if not isinstance(proxied.get("statusCode"), int):
        return JSONResponse({"message": "Internal server error"}, 502)
    body: str = proxied.get("body") or ""
    content = base64.b64decode(body) if proxied.get("isBase64Encoded") else body.encode()
    response = Response(content, proxied["statusCode"])
    single: dict[str, str] = proxied.get("headers") or {}
    for name, value in single.items():
        response.headers[name] = value
    repeated: dict[str, list[str]] = proxied.get("multiValueHeaders") or {}
    for name, values in repeated.items():
        for value in values:
            response.headers.append(name, value)
    return response
