"""The simulator as the reference SDK talks to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devkit.emulator.job_runtime import JobRuntimeSimulator
from devkit.emulator.server import Server


@contextmanager
def bearer(simulator: JobRuntimeSimulator) -> Iterator[str]:
    """The simulator as the SDK talks to it: a bearer token, and the job's ARN in the body."""
    signed = (
        "AWS4-HMAC-SHA256 Credential=bearer/20260101/us-west-2/sagemaker/aws4_request, "
        f"SignedHeaders=host, Signature={'0' * 64}"
    )

    async def translate(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k: v for k, v in scope["headers"] if k != b"authorization"}
        headers[b"authorization"] = signed.encode()
        path = scope["path"]
        if path == "/v1/chat/completions":
            path = "/sample"
        else:
            headers[b"x-amzn-sagemaker-job-arn"] = json.loads(body)["JobArn"].encode()
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        inner = {**scope, "path": path, "raw_path": path.encode(), "headers": list(headers.items())}
        await simulator.app(inner, replay, send)

    with Server(translate) as server:
        yield server.url
