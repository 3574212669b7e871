"""What one rollout asks of AWS, counted while it runs: calls, write units, operations, bytes.

``python -m benchmarks.footprint`` plays rollouts of a few lengths, durable ones and one inline, on the
local stack (the real handlers, worker and records; moto for DynamoDB and S3, AWS's local durable runner)
and counts what botocore is about to send. Write request units are worked out from the items as they stand
before and after each write, indexes included, by DynamoDB's published rules; moto does not work them out.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
import httpx

from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.stack import EmulatedStack
from devkit.emulator.template import table_properties
from rollout import Episode, agent

Item = Mapping[str, Mapping[str, Any]]
_KB, _READ = 1024, 4096
# What write units are counted as, by the kind of row; all others are the rollout's own.
_PLACES = {"jobs": "job listed", "totals": "totals", "groups": "totals"}


@agent
def turns(episode: Episode) -> float:
    """As many turns as the instance says, each with the whole conversation before it."""
    messages: list[dict[str, Any]] = []
    for turn in range(int(episode.instance["turns"])):
        messages.append({"role": "user", "content": f"turn {turn}"})
        messages.append(episode.sample(messages).message)
    return 1.0


class Count:
    """Counts every call that botocore makes while it is open."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self._lock = Lock()
        self._indexes = {
            index["IndexName"]: index for index in table_properties()["GlobalSecondaryIndexes"]
        }

    @contextmanager
    def open(self) -> Any:
        """Watch boto3's default session; clients made before are not seen."""
        boto3.setup_default_session()
        session: Any = boto3.DEFAULT_SESSION
        events = session.events
        events.register("before-call", self._before)
        events.register("after-call.dynamodb", self._after)
        try:
            yield self
        finally:
            boto3.DEFAULT_SESSION = None

    def _before(self, model: Any, params: dict[str, Any], context: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}.{model.name}"
        body: bytes = params.get("body") or b""
        size = len(body) if isinstance(body, (bytes, bytearray, str)) else body.seek(0, 2)
        if not isinstance(body, (bytes, bytearray, str)):
            body.seek(0)
        with self._lock:
            self.calls[name] += 1
            self.bytes[name] += size
            if model.name == "CheckpointDurableExecution":
                self._checkpoint(json.loads(body))
        if model.service_model.service_name == "dynamodb":
            context["rollout_request"] = json.loads(body)
            context["rollout_before"] = self._row(context["rollout_request"], params)

    def _after(self, model: Any, parsed: Any, context: Any, **_: Any) -> None:
        request = context.get("rollout_request", {})
        if model.name not in ("PutItem", "UpdateItem", "GetItem"):
            return
        before = context["rollout_before"]
        after = self._row(request, {"url": request["rollout_url"]})
        refused = "Error" in parsed
        with self._lock:
            if model.name == "GetItem":
                self.units["reads"] += max(1, math.ceil(_size(after) / _READ))
                return
            kept = max(_size(before), _size(after))
            kind = _key(request).get("pk", {}).get("S", "").partition("#")[0]
            place = _PLACES.get(kind, "table")
            self.units[place] += max(1, math.ceil(kept / _KB))
            if refused:
                return
            for name, index in self._indexes.items():
                self.units[f"index {name}"] += _index_units(before, after, index)

    def _row(self, request: dict[str, Any], params: Mapping[str, Any]) -> Item:
        """The row a request is about, as it stands; read past botocore, so that nothing is counted."""
        url = str(params["url"])
        request["rollout_url"] = url
        key = {name: value for name, value in _key(request).items() if name in ("pk", "sk")}
        if len(key) < 2:
            return {}
        answer = httpx.post(
            url,
            json={"TableName": request["TableName"], "Key": key, "ConsistentRead": True},
            headers={
                "X-Amz-Target": "DynamoDB_20120810.GetItem",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 Credential=local/-/us-west-2/dynamodb/aws4_request",
            },
        )
        return answer.json().get("Item", {})

    def _checkpoint(self, body: dict[str, Any]) -> None:
        for update in body.get("Updates", ()):
            self.calls[f"checkpoint {update['Type']} {update['Action']}"] += 1
            # One operation a step, one more for each retry; a context and an execution one each.
            ended = update["Action"] in ("SUCCEED", "FAIL", "RETRY")
            if ended and update["Type"] != "EXECUTION":
                self.units["operations"] += 1
            self.bytes["persisted"] += len(str(update.get("Payload") or "").encode())


def _key(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return request.get("Key") or request.get("Item") or {}


def _size(item: Item) -> int:
    """Bytes of an item: attribute names and values, in UTF-8; a number counts as its digits halved."""
    total = 0
    for name, value in item.items():
        ((kind, content),) = value.items()
        total += len(name.encode())
        total += (
            1
            if kind == "BOOL"
            else math.ceil(len(content) / 2) + 1
            if kind == "N"
            else len(str(content).encode())
        )
    return total


def _index_units(before: Item, after: Item, index: Mapping[str, Any]) -> int:
    """Write units of one index: none where nothing it holds changed, two where its key moved."""
    old, new = _entry(before, index), _entry(after, index)
    if old == new:
        return 0
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    moved = bool(old and new) and any(old[key] != new[key] for key in keys)
    units = max(1, math.ceil(max(_size(old), _size(new)) / _KB))
    return units * (2 if moved else 1)


def _entry(item: Item, index: Mapping[str, Any]) -> Item:
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    if any(key not in item for key in keys):
        return {}
    held = {*keys, "pk", "sk", *index["Projection"].get("NonKeyAttributes", ())}
    return {name: value for name, value in item.items() if name in held}


def measure(count: int, reply_bytes: int = 1_000, *, inline: bool = False) -> dict[str, Any]:
    """Play one rollout and count: a durable one of a job, or one through ``POST /rollout``.

    Args:
        count: turns.
        reply_bytes: text of one reply.
        inline: whether it is played inside the request.

    Returns:
        ``calls`` by service and operation, ``bytes`` sent by the same names and ``persisted`` in
        checkpoints, ``units`` of DynamoDB by place and of durable operations.
    """

    def policy(asked: SampleRequest) -> dict[str, Any]:
        del asked
        message = {"role": "assistant", "content": "x" * reply_bytes}
        usage = {"prompt_tokens": 10, "completion_tokens": reply_bytes // 4}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    counter = Count()
    with (
        tempfile.TemporaryDirectory() as store,
        EmulatedStack(
            policy, agent="benchmarks.footprint:turns", durable=Path(store), moto=True
        ) as stack,
        counter.open(),
    ):
        counter.units["operations"] = 1  # the execution itself
        _forget_clients()
        instance = {"turns": count}
        body = stack.request("footprint", instance)
        if inline:
            _post(body)
        else:
            prompt = {"prompt": json.dumps(instance), "metadata": _camel(body["metadata"])}
            _invoke_job(prompt)
            _wait(stack)
    return {
        "turns": count,
        "reply_bytes": reply_bytes,
        "calls": dict(sorted(counter.calls.items())),
        "bytes": dict(sorted(counter.bytes.items())),
        "units": dict(sorted(counter.units.items())),
    }


def _camel(metadata: Mapping[str, str]) -> dict[str, str]:
    return {
        "jobArn": metadata["job_arn"],
        "rolloutId": metadata["trajectory_id"],
        "endpoint": metadata["endpoint"],
        "region": metadata["region"],
    }


def _invoke_job(event: Mapping[str, Any]) -> None:
    from devkit.emulator.gateway import LambdaContext, environment_of
    from devkit.emulator.stack import HANDLERS

    answer = environment_of(HANDLERS / "job.py")()(event, LambdaContext(function_name="job"))
    if answer:
        raise RuntimeError(f"the job's function answered {answer}")


def _post(body: Mapping[str, Any]) -> None:
    from devkit.emulator.gateway import LambdaContext, environment_of, proxy_event
    from devkit.emulator.stack import HANDLERS

    event = proxy_event("POST", "/rollout", body=json.dumps(body).encode())
    answer = environment_of(HANDLERS / "api.py")()(event, LambdaContext(function_name="api"))
    if answer["statusCode"] != 200:
        raise RuntimeError(f"POST /rollout answered {answer}")


def _wait(stack: EmulatedStack, seconds: float = 120) -> None:
    """Wait for the execution's end without asking our own table, which would be counted."""
    assert stack.service is not None  # noqa: S101 - a durable stack has one
    until = time.monotonic() + seconds
    while not stack.service.executions("SUCCEEDED"):
        if time.monotonic() > until:
            raise RuntimeError("the rollout has not ended")
        time.sleep(0.1)


def _forget_clients() -> None:
    from aws_durable_execution_sdk_python.lambda_service import LambdaClient

    from rollout.aws import clients

    LambdaClient._cached_boto_client = None  # noqa: SLF001 - pyright: ignore[reportPrivateUsage]
    clients.forget()


if __name__ == "__main__":
    print(json.dumps([measure(2), measure(10), measure(10, inline=True)], indent=1))
