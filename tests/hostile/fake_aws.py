"""DynamoDB, S3, Lambda and the Job Runtime behind botocore's last step before the wire.

The clients are real: they validate, serialise and sign each request and parse each answer. Only the
sending is replaced, so a case costs a few milliseconds and no socket; limits of DynamoDB that moto does
not know (the length of a key, the size of an item) are kept here.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import HTTPResponse

_KEY, _ITEM = 2_048, 400_000


class FakeAws:
    """what the entry points talk to. ``reply`` is the body of the next Samples; ``hosts`` counts requests."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.hosts: Counter[str] = Counter()
        self.reply: bytes = b""
        self.status = 200
        self.headers: dict[str, str] = {}

    def install(self) -> None:
        """Answer every client that boto3 makes from now on."""
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-send.*", self._send)

    def remove(self) -> None:
        """Leave the clients that boto3 makes from now on alone."""
        boto3.DEFAULT_SESSION = None

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        parts = urlsplit(request.url)
        self.hosts[parts.hostname or ""] += 1
        target = str(request.headers.get("X-Amz-Target", b""))
        if "DynamoDB" in target:
            status, body, headers = self._table(
                target.rsplit(".", maxsplit=1)[-1].rstrip("'"), request.body
            )
        elif parts.path == "/sample":
            status, body, headers = self.status, self.reply, self.headers
        elif "/functions/" in parts.path:
            status, body, headers = 202, b"", {}
        elif parts.path in ("/complete-rollout", "/update-reward"):
            status, body, headers = 200, b"{}", {}
        else:
            status, body, headers = 200, b"", {}
        headers = {"Content-Length": str(len(body)), **headers}
        raw = HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return AWSResponse(request.url, status, raw.headers, raw)

    def _table(self, operation: str, body: Any) -> tuple[int, bytes, dict[str, str]]:
        asked = json.loads(body)
        key = asked.get("Key") or asked["Item"]
        name = key["pk"]["S"] + "\n" + key["sk"]["S"]
        if not 0 < len(key["pk"]["S"].encode()) <= _KEY:
            return _refused("ValidationException")
        row = self.rows.get(name)
        if operation == "GetItem":
            return 200, json.dumps({"Item": row} if row else {}).encode(), {}
        if not self._holds(asked, row):
            return _refused("ConditionalCheckFailedException")
        if operation == "DeleteItem":
            self.rows.pop(name, None)
            return 200, b"{}", {}
        new = asked["Item"] if operation == "PutItem" else self._updated(asked, {**(row or key)})
        if len(json.dumps(new, ensure_ascii=False).encode()) > _ITEM:
            return _refused("ValidationException")
        self.rows[name] = new
        return 200, b"{}", {}

    @staticmethod
    def _holds(asked: dict[str, Any], row: dict[str, Any] | None) -> bool:
        condition = asked.get("ConditionExpression", "")
        if condition == "attribute_not_exists(pk)":
            return row is None
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        return row is not None and all(
            row.get(names[name]) == values[value]
            for name, value in re.findall(r"(#c\d+) = (:c\d+)", condition)
        )

    @staticmethod
    def _updated(asked: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        names, values = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        for name, value in re.findall(r"(#s\d+) = (:s\d+)", asked["UpdateExpression"]):
            row[names[name]] = values[value]
        for name in re.findall(r"#r\d+", asked["UpdateExpression"]):
            row.pop(names[name], None)
        return row


def _refused(code: str) -> tuple[int, bytes, dict[str, str]]:
    return 400, json.dumps({"__type": code, "message": "refused"}).encode(), {}
