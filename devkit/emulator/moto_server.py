"""DynamoDB and S3 by moto, on loopback: what the local store is held against, and a second opinion.

moto's own server closes every connection and looks through its folders for each request, and its
models keep every instance they ever made. Here connections stay open, the two services are told apart
by DynamoDB's header, and what a long run is done with can be let go.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any, Self, cast

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from moto.s3.models import FakeKey, s3_backends
from werkzeug.serving import make_server

from rollout.storage import keys

_SERVICES = ("dynamodb", "s3")


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True

    def log(self, *_: Any, **__: Any) -> None:
        """Log nothing."""


class MotoServer:
    """Serves both services until it is stopped; their state is the process's."""

    known = False

    def __init__(self) -> None:
        self._apps = {name: create_backend_app(name) for name in _SERVICES}
        self._server = make_server(
            "127.0.0.1", 0, self._dispatch, threaded=True, request_handler=_Handler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._one_update = threading.Lock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _dispatch(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "HTTP_X_AMZ_TARGET" not in environ:
            return self._apps["s3"](environ, start_response)
        # DynamoDB makes an update whole and hands its result back; moto's threads would mix two.
        with self._one_update:
            return list(self._apps["dynamodb"](environ, start_response))

    def served(self) -> str:
        """The address for other processes: the same as for this one."""
        return self.url

    def let_go(self, table: str, job_arn: str, trajectory_id: str, bucket: str) -> None:
        """Delete one rollout's row and trajectory, its job's totals, and moto's list of instances.

        Requests and checkpoints too large for the row stay in the bucket until the process ends.
        """
        region = os.environ["AWS_REGION"]
        key = DynamoType({"S": keys.rollout(job_arn, trajectory_id)})
        items: Any = cast("Any", dynamodb_backends)[DEFAULT_ACCOUNT_ID][region].tables[table].items
        rows: dict[Any, Any] = items.pop(key, {})
        for totals in keys.totals_of(job_arn):
            items.pop(DynamoType({"S": totals}), None)
        row: Any = rows.get(DynamoType({"S": keys.ROLLOUT}))
        cast("Any", Item).instances_tracked.clear()
        if row is None or "content" not in row.attrs:
            return
        objects = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
        name = row.attrs["content"].value
        if name in objects:
            kept = objects[name]
            objects.pop(name)
            kept.dispose()
            cast("Any", FakeKey).instances_tracked.remove(kept)
