"""The clients the library is given: storage, the trainer and Lambda, each of which may misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from tests.simulation.table import Table
from tests.simulation.world import Dice, World, here

_URL = "https://simulated"
# What botocore's parsers raise at bodies they do not expect; none of it is a BotoCoreError.
_GARBLED: tuple[Callable[[], BaseException], ...] = (
    lambda: AttributeError("'NoneType' object has no attribute 'get'"),
    lambda: TypeError("list indices must be integers"),
    lambda: ResponseParserError("Unable to parse response"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    lambda: RecursionError("maximum recursion depth exceeded"),
    lambda: KeyError("Error"),
)
# Faults after which botocore itself makes another attempt, where it may.
_REPEATED = frozenset(
    {"throttled", "500", "500-after", "refused", "timeout", "timeout-after", "429"}
)


def refusal(status: int, code: Any, operation: str = "Call") -> ClientError:
    """An error answer as botocore raises it."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
        },
        operation,
    )


def _garbled(world: World) -> BaseException:
    return world.jitter.choice(_GARBLED)()


class Client:
    """A boto3 client: every call takes time and may go wrong on its way.

    Args:
        name: ``table``, ``bucket``, ``lambda`` or ``trainer``.
        attempts: how often botocore tries.
    """

    class exceptions:  # noqa: N801 - boto3's name
        """The exceptions a client carries."""

        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, world: World, name: str, *, read_timeout: float, attempts: int) -> None:
        self.world, self.name = world, name
        self.read_timeout, self.attempts = read_timeout, attempts

    def call(self, operation: str, do: Callable[[], Any], *, quiet: bool = False) -> Any:
        """Make a call until botocore would give up.

        Args:
            do: what the service does; called when the request arrives.
        """
        world = self.world
        process = here().process
        about = process.trajectory or process.name
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            kind, seconds, name = world.fault(f"{self.name}.{operation}", about)
            try:
                return self._once(kind, seconds, do)
            except (ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError):
                if last or kind not in _REPEATED:
                    raise
            world.sleep(0.1 * attempt)
        raise AssertionError(name)

    def _once(self, kind: str, seconds: float, do: Callable[[], Any]) -> Any:
        world = self.world
        if not kind:
            world.sleep(seconds)
            return do()
        if kind == "crash-before":
            world.die(kind)
        if kind == "refused":
            world.sleep(seconds)
            raise EndpointConnectionError(endpoint_url=_URL)
        if kind == "unreached":
            world.sleep(5.0)
            raise ConnectTimeoutError(endpoint_url=_URL)
        if kind == "timeout":
            world.sleep(self.read_timeout)
            raise ReadTimeoutError(endpoint_url=_URL)
        if kind in ("throttled", "429"):
            world.sleep(seconds)
            raise refusal(400 if self.name == "table" else 429, "ThrottlingException")
        if kind in ("500", "403", "400", "404", "409"):
            world.sleep(seconds)
            raise refusal(int(kind), "Fault")
        if kind == "garbled":
            world.sleep(seconds)
            raise _garbled(world)
        if kind == "odd":
            world.sleep(seconds)
            raise refusal(403, 7)
        if kind == "300":  # an error to botocore too, of no class it knows
            world.sleep(seconds)
            raise refusal(300, "300")
        if kind == "slow":
            world.sleep(seconds * 200)
            return do()
        world.sleep(seconds)
        answer = do()
        if kind == "crash-after":
            world.die(kind)
        if kind == "timeout-after":
            world.sleep(self.read_timeout)
            raise ReadTimeoutError(endpoint_url=_URL)
        if kind == "closed-after":
            raise ConnectionClosedError(endpoint_url=_URL)
        if kind == "500-after":
            raise refusal(500, "InternalFailure")
        if kind == "300-after":
            raise refusal(300, "300")
        if kind == "garbled-after":
            raise _garbled(world)
        return self.nonsense(kind, answer)

    def nonsense(self, kind: str, answer: Any) -> Any:
        """An answer that is none."""
        raise AssertionError((self.name, kind, answer))


class TableClient(Client):
    """DynamoDB."""

    def __init__(self, world: World, table: Table, **options: Any) -> None:
        super().__init__(world, "table", **options)
        self._table = table

    def get_item(self, **request: Any) -> Any:
        return self.call("get", lambda: self._table.get_item(**request))

    def put_item(self, **request: Any) -> Any:
        return self.call("put", lambda: self._table.put_item(**request))

    def update_item(self, **request: Any) -> Any:
        return self.call("update", lambda: self._table.update_item(**request))

    def delete_item(self, **request: Any) -> Any:
        return self.call("delete", lambda: self._table.delete_item(**request))

    def query(self, **request: Any) -> Any:
        return self.call("query", lambda: self._table.query(**request))


class Bytes:
    """A body that is read."""

    def __init__(self, data: bytes, error: BaseException | None = None) -> None:
        self._data, self._error = data, error

    def read(self, amount: int | None = None) -> bytes:
        if self._error is not None:
            raise self._error
        return self._data if amount is None else self._data[:amount]


class BucketClient(Client):
    """S3."""

    def __init__(self, world: World, objects: dict[str, bytes], **options: Any) -> None:
        super().__init__(world, "bucket", **options)
        self._objects = objects

    def put_object(self, Key: str, Body: bytes, **_: Any) -> Any:
        def put() -> Any:
            self._objects[Key] = Body
            return {}

        process = here().process
        about = process.trajectory or process.name
        self.world.failed_puts.add(about)
        answer = self.call("put", put)
        self.world.failed_puts.discard(about)
        return answer

    def get_object(self, Key: str, **_: Any) -> Any:
        def get() -> Any:
            if Key not in self._objects:
                raise refusal(404, "NoSuchKey")
            return {"Body": Bytes(self._objects[Key])}

        return self.call("get", get)

    def nonsense(self, kind: str, answer: Any) -> Any:
        assert kind == "nonsense", kind
        return {"Body": Bytes(b"\xff<html>")} if "Body" in answer else answer


@dataclass
class Trajectory:
    """What the trainer knows of one trajectory."""

    job: str
    state: str = "open"
    turns: list[dict[str, Any]] = field(default_factory=list)
    rewards: list[float] | None = None
    # operation, payload, token, the trajectory's state before, when; those that reached the trainer.
    reports: list[tuple[str, Any, str, str, float]] = field(default_factory=list)
    tokens: dict[str, Any] = field(default_factory=dict)
    sealed_at: float = 0.0
    ended_at: float = 0.0


@dataclass
class Trainer:
    """The Job Runtime.

    Args:
        repeat: how a report that was taken before is answered: 0 with success, else with this status.
        lag: seconds after a completion in which UpdateReward does not see it yet.
        lagging: the status it is answered then.
        silent: jobs whose trainer answers nothing, and how: ``silent``, or ``drip`` a byte a second.
    """

    world: World
    repeat: int = 0
    lag: float = 0.0
    lagging: int = 409
    silent: dict[str, str] = field(default_factory=dict)
    trajectories: dict[str, Trajectory] = field(default_factory=dict)

    def sample(self, job: str, name: str, body: bytes) -> bytes:
        known = self.trajectories[name]
        if known.job != job or known.state != "open":
            raise refusal(400, "ValidationException")
        asked = json.loads(body)
        turn = len(known.turns)
        known.turns.append({"messages": asked["messages"], "at": self.world.now})
        self.world.note(f"captured turn {turn + 1} of {name}")
        content = f"{name} says {turn}"
        reply = {
            "choices": [
                {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        }
        return json.dumps(reply).encode()

    def report(self, operation: str, job: str, name: str, payload: Any, token: str) -> None:
        known = self.trajectories[name]
        before = known.state
        self.world.note(f"{operation} {payload} of {name}, which is {before}")
        if known.job != job:
            raise refusal(404, "ResourceNotFoundException")
        known.reports.append((operation, payload, token, before, self.world.now))
        self.world.heard(name, job)
        if token in known.tokens:
            if known.tokens[token] != (operation, payload):
                raise refusal(409, "ConflictException")
            if self.repeat:
                raise refusal(self.repeat, "ConflictException")
            return
        if operation == "complete":
            if before != "open":
                raise refusal(409, "ConflictException")
            known.state = payload
            known.sealed_at = self.world.now
            if payload == "failed":
                known.ended_at = self.world.now
        else:
            if before == "ready" and self.world.now - known.sealed_at < self.lag:
                raise refusal(self.lagging, "ResourceNotFoundException")
            if before != "ready":
                raise refusal(409, "ConflictException")
            known.state, known.rewards = "rewarded", payload
            known.ended_at = self.world.now
        known.tokens[token] = (operation, payload)


class TrainerClient(Client):
    """The Job Runtime's client."""

    def __init__(self, world: World, trainer: Trainer, **options: Any) -> None:
        super().__init__(world, "trainer", **options)
        self._trainer = trainer

    def sample(self, JobArn: str, TrajectoryId: str, Body: bytes) -> Any:
        def sample() -> Any:
            return {"Body": Bytes(self._trainer.sample(JobArn, TrajectoryId, Body))}

        self._silence(JobArn)
        return self.call("sample", sample)

    def complete_rollout(
        self, JobArn: str, TrajectoryId: str, Status: str, ClientToken: str
    ) -> Any:
        self._silence(JobArn)
        return self.call(
            "complete",
            lambda: self._said("complete", JobArn, TrajectoryId, Status, ClientToken),
        )

    def update_reward(self, JobArn: str, TrajectoryId: str, Rewards: Any, ClientToken: str) -> Any:
        self._silence(JobArn)
        return self.call(
            "reward", lambda: self._said("reward", JobArn, TrajectoryId, Rewards, ClientToken)
        )

    def _said(self, *words: Any) -> dict[str, Any]:
        self._trainer.report(*words)
        return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}

    def _silence(self, job: str) -> None:
        how = self._trainer.silent.get(job)
        if how == "silent":
            self.world.sleep(self.read_timeout)
            raise ReadTimeoutError(endpoint_url=_URL)
        if how == "drip":  # each byte is in time, the whole answer is not
            self.world.sleep(400.0)
            raise ConnectionClosedError(endpoint_url=_URL)

    def nonsense(self, kind: str, answer: Any) -> Any:
        if kind == "nonsense":
            return {"Body": Bytes(b"\xff\xfe no completion")}
        assert kind == "broken", kind
        return {"Body": Bytes(b"", ReadTimeoutError(endpoint_url=_URL))}


class LambdaClient(Client):
    """Lambda: asynchronous, named starts of durable executions."""

    def __init__(self, world: World, service: Any, **options: Any) -> None:
        super().__init__(world, "lambda", **options)
        self._service = service

    def invoke(self, *, DurableExecutionName: str, Payload: bytes, **_: Any) -> Any:
        return self.call("invoke", lambda: self._service.start(DurableExecutionName, Payload))

    def get_durable_execution(self, DurableExecutionArn: str) -> Any:
        def get() -> Any:
            known = self._service.executions.get(DurableExecutionArn.rsplit("/", 1)[-1])
            if known is None:
                raise self.exceptions.ResourceNotFoundException
            return {
                "DurableExecutionArn": DurableExecutionArn,
                "DurableExecutionName": known.name,
                "InputPayload": known.payload.decode(),
                "Status": known.status,
            }

        return self.call("get", get)


def dice_of(world: World, what: int) -> Dice:
    """Dice for one purpose."""
    return Dice(world.seed, what)
