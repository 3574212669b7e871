"""DynamoDB and S3 behind one address: answered in this process, on a socket only when asked for."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from devkit.emulator.in_process import answering
from devkit.emulator.server import Server
from devkit.emulator.store.dynamodb import DynamoDb
from devkit.emulator.store.kept import Kept
from devkit.emulator.store.s3 import S3, Answer
from devkit.emulator.store.values import Refused
from rollout.storage import keys

_JSON = {"Content-Type": "application/x-amz-json-1.0"}
_numbers = count(1)


class LocalAws:
    """Both services; boto3 clients of this process reach them at ``url`` without a socket.

    Args:
        path: of a SQLite file that everything is kept in; None keeps it in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._kept = Kept(path) if path else None
        self.dynamodb = DynamoDb(self._kept)
        self.s3 = S3(self._kept.object if self._kept else None)
        number = next(_numbers)
        # An address, so that S3's is path-style; port 0 is one that nothing can ever be sent to.
        self.url = f"http://127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:0"
        self._open = ExitStack()
        self._serving = threading.Lock()
        self._server: Server | None = None
        self.known = self._kept.load(self.dynamodb, self.s3) if self._kept else False

    def __enter__(self) -> Self:
        self._open.enter_context(answering(self.url, self.answer))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        if self._kept:
            self._kept.close()

    def served(self, port: int = 0, address: str = "") -> str:
        """The address for other processes; from the first call on a socket is open.

        Args:
            port: 0 picks a free one.
            address: a further address of this machine to listen on.
        """
        with self._serving:
            if self._server is None:
                self._server = self._open.enter_context(Server(self._serve, port, address))
                # Clients of this process that were given the same address need no socket.
                self._open.enter_context(answering(self._server.url, self.answer))
        return self._server.url

    def let_go(self, table: str, job_arn: str, trajectory_id: str, bucket: str) -> None:
        """Delete one rollout's row, what it names in the bucket, and its job's totals.

        Checkpoints too large for the runner stay in the bucket until the process ends.
        """
        for row in self.dynamodb.drop(table, keys.rollout(job_arn, trajectory_id)):
            for name in ("content", "request_key"):
                if name in row:
                    self.s3.delete(bucket, row[name]["S"])
        for totals in keys.totals_of(job_arn):
            self.dynamodb.drop(table, totals)

    def answer(
        self, method: str, where: SplitResult, headers: dict[str, str], body: bytes
    ) -> Answer:
        """Answer one request of either service."""
        target = headers.get("x-amz-target")
        if target is None:
            return self.s3.call(method, where.path, where.query, headers, body)
        try:
            answer = self.dynamodb.call(target.rpartition(".")[2], json.loads(body))
        except Refused as error:
            return error.status, _JSON, json.dumps(_document(error)).encode()
        return 200, _JSON, json.dumps(answer).encode()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        where = urlsplit(f"{scope['raw_path'].decode()}?{request.url.query}")
        headers = dict(request.headers)
        # Nothing in here waits for anything: no thread is worth it.
        status, answered, content = self.answer(
            request.method, where, headers, await request.body()
        )
        await Response(content, status, answered)(scope, receive, send)


def _document(error: Refused) -> dict[str, Any]:
    document: dict[str, Any] = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{error.code}",
        "message": error.message,
    }
    if error.item is not None:
        document["Item"] = error.item
    return document
