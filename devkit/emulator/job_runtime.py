"""A Job Runtime simulator over real HTTP: strict about order and idempotency, remembers everything.

It does what the service documents: an unknown trajectory is 404, a Sample after completion is
refused, a reward before completion is 409, the same ClientToken with the same words gets the same
answer and with other words 409. Every captured turn and every report is kept.

It also takes what agents for the SDK send (``sagemaker.train.rft`` of ``sagemaker-train`` 1.27.0):
chat completions at ``/v1/chat/completions`` and reports whose body names the job, with a bearer token in
place of a signature. The library here sends none of it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast
from urllib.parse import SplitResult

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devkit.emulator.faults import Fault, FaultScript
from devkit.emulator.in_process import Answer
from devkit.emulator.server import Server
from devkit.emulator.service_model import ServiceError, operations, read_input, shape_of, status_of
from rollout.adapters.transport import chunks

_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/[a-z0-9-]+/sagemaker/aws4_request, ?"
    r"SignedHeaders=[^,]+, ?Signature=[0-9a-f]{64}"
)

_BEARER = re.compile(r"Bearer [\x21-\x7e]+")
# Where the SDK's agents point an OpenAI client: ``base_url`` is the endpoint and ``/v1``.
_CHAT = "/v1/chat/completions"
_JOB_HEADER = "X-Amzn-SageMaker-Job-Arn"


@dataclass(frozen=True)
class SampleRequest:
    """What a policy is asked.

    Args:
        instance: the problem that was handed out with the trajectory.
        body: the chat-completions request.
        turn: how many turns the trajectory holds already.
    """

    job_arn: str
    trajectory_id: str
    instance: dict[str, Any]
    body: dict[str, Any]
    turn: int

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far."""
        return self.body.get("messages", [])


PolicyFunction = Callable[[SampleRequest], Any]
_Ask = Callable[[SampleRequest], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class CapturedTurn:
    """One prompt and reply that the platform stored.

    Args:
        at: epoch seconds.
        seconds: how long the policy took.
    """

    request: dict[str, Any]
    response: dict[str, Any]
    headers: dict[str, str]
    at: float
    seconds: float = 0.0


@dataclass(frozen=True)
class ReportCall:
    """One CompleteRollout or UpdateReward as it arrived, and the status it was answered."""

    operation: str
    payload: Any
    client_token: str | None
    status: int
    at: float


@dataclass
class Trajectory:
    """All the simulator knows of one trajectory."""

    job_arn: str
    trajectory_id: str
    instance: dict[str, Any]
    state: Literal["open", "ready", "failed", "rewarded"] = "open"
    turns: list[CapturedTurn] = field(default_factory=list[CapturedTurn])
    rewards: list[float] | None = None
    reports: list[ReportCall] = field(default_factory=list[ReportCall])
    tokens: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]])
    calls: Counter[str] = field(default_factory=Counter[str])


class Journal:
    """Trajectories as JSON lines, the last line of each counting; written through at once.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, trajectory: Trajectory) -> None:
        """Append a trajectory as it is now."""
        document = {
            **vars(trajectory),
            "turns": [asdict(turn) for turn in trajectory.turns],
            "reports": [asdict(report) for report in trajectory.reports],
        }
        with self._path.open("a") as file:
            file.write(json.dumps(document) + "\n")

    def read(self) -> dict[tuple[str, str], Trajectory]:
        """The trajectories of earlier processes; a line cut short by a crash is passed over."""
        found: dict[tuple[str, str], Trajectory] = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            trajectory = Trajectory(**document)
            trajectory.turns = [CapturedTurn(**turn) for turn in document["turns"]]
            trajectory.reports = [ReportCall(**report) for report in document["reports"]]
            trajectory.tokens = {k: (v[0], v[1]) for k, v in document["tokens"].items()}
            trajectory.calls = Counter(document["calls"])
            found[trajectory.job_arn, trajectory.trajectory_id] = trajectory
        return found


class _Dropped(Exception):
    """The connection is to be closed without an answer."""


class _Drop(Response):
    """No answer: the connection is reset.

    A response, not an exception: Starlette answers 500 to an exception before it lets it pass, and a
    client that is quick reads that before the reset.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        del send
        scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class JobRuntimeSimulator:
    """The Job Runtime on a laptop.

    Args:
        policy: answers each Sample with a chat completion or an assistant message; may be async.
        faults: what goes wrong on purpose.
        port: 0 picks a free one.
        journal: file that what happens is written to, and read from after a restart.
        address: a further address of this machine to listen on.
        problem_of: the instance of a trajectory that nobody handed out, by job ARN and id; None
            where there is none. Not given, such a trajectory is unknown, as it is to a trainer.
    """

    def __init__(
        self,
        policy: PolicyFunction,
        faults: FaultScript | None = None,
        port: int = 0,
        journal: Path | None = None,
        *,
        address: str = "",
        problem_of: Callable[[str, str], dict[str, Any] | None] | None = None,
    ) -> None:
        self.policy = policy
        self._journal = Journal(journal) if journal else None
        self.faults = faults or FaultScript()
        self._trajectories: dict[tuple[str, str], Trajectory] = {}
        paths = [*operations(), ("POST", _CHAT)]
        routes = [Route(path, self._answer, methods=[method]) for method, path in paths]
        self.app = Starlette(routes=routes)
        self._problem_of = problem_of
        self.server = Server(self.app, port, address)
        self.url = self.server.url
        if self._journal:
            self._trajectories = self._journal.read()

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def hand_out(self, job_arn: str, trajectory_id: str, instance: dict[str, Any]) -> Trajectory:
        """Make a trajectory known, as the trainer does before it asks for a rollout.

        After a restart, what the journal knows of it stays.
        """
        kept = self._trajectories.get((job_arn, trajectory_id))
        if self._journal and kept:
            return kept
        trajectory = Trajectory(job_arn, trajectory_id, instance)
        self._trajectories[job_arn, trajectory_id] = trajectory
        self._note(trajectory)
        return trajectory

    def trajectory(self, job_arn: str, trajectory_id: str) -> Trajectory:
        """A trajectory that was handed out; KeyError if it was not."""
        return self._trajectories[job_arn, trajectory_id]

    def forget(self, job_arn: str, trajectory_id: str) -> None:
        """Let go of a trajectory that was reported; it is unknown from here on."""
        self._trajectories.pop((job_arn, trajectory_id), None)

    def known(self) -> set[tuple[str, str]]:
        """Job ARN and id of every trajectory that was handed out."""
        return set(self._trajectories)

    def _note(self, trajectory: Trajectory) -> None:
        if self._journal:
            self._journal.write(trajectory)

    # --- serving --------------------------------------------------------------------------------

    def answer(
        self, method: str, where: SplitResult, headers: dict[str, str], body: bytes
    ) -> Answer:
        """Answer a request of this process in its own thread, as :meth:`_answer` does on a socket.

        For a policy that is a plain function and for no faults: nothing in it may have to wait.
        """

        async def ask(asked: SampleRequest) -> Any:
            return self.policy(asked)

        answering = self._respond(method, where.path, Headers(headers), body, ask)
        try:
            answering.send(None)
        except StopIteration as done:
            response: Response = done.value
            return response.status_code, dict(response.headers), bytes(response.body)
        answering.close()
        raise RuntimeError("a policy or a fault that waits cannot be answered in process")

    async def _answer(self, request: Request) -> Response:
        return await self._respond(
            request.method, request.url.path, request.headers, await request.body(), self._ask
        )

    async def _ask(self, asked: SampleRequest) -> Any:
        if inspect.iscoroutinefunction(self.policy):
            return await self.policy(asked)
        return await run_in_threadpool(self.policy, asked)

    async def _respond(
        self, method: str, path: str, headers: Headers, body: bytes, ask: _Ask
    ) -> Response:
        authorization = headers.get("authorization", "")
        bearer = _BEARER.fullmatch(authorization) is not None
        if path == _CHAT:
            path = "/sample-with-response-stream" if _streams(body) else "/sample"
            signed = False  # only a token is taken there
        else:
            signed = _CREDENTIAL.fullmatch(authorization) is not None
        operation = operations()[method, path]
        name = str(operation.name)
        try:
            if not (signed or bearer):
                raise ServiceError(
                    "AccessDeniedException", "The request is not signed for sagemaker."
                )
            if bearer and _JOB_HEADER not in headers and not name.startswith("Sample"):
                headers = _with_job(headers, body)
            values = read_input(operation, headers, body)
            trajectory = await self._find(values["JobArn"], values["TrajectoryId"])
            trajectory.calls[name] += 1
            nth = trajectory.calls[name]
            struck = self.faults.strike(name, nth, trajectory.trajectory_id)
            await _before(struck)
            if name.startswith("Sample"):
                response = await self._sample(trajectory, values["Body"], headers, name, ask)
            else:
                response = self._report(trajectory, name, values)
            if any(fault.kind == "drop-after" for fault in struck):
                raise _Dropped
            return response
        except ServiceError as error:
            return _error(error)
        except _Dropped:
            return _Drop()

    async def _find(self, job_arn: str, trajectory_id: str) -> Trajectory:
        trajectory = self._trajectories.get((job_arn, trajectory_id))
        if trajectory is None and self._problem_of is not None:
            instance = await run_in_threadpool(self._problem_of, job_arn, trajectory_id)
            if instance is not None:
                trajectory = self.hand_out(job_arn, trajectory_id, instance)
        if trajectory is None:
            raise ServiceError("ResourceNotFoundException", "There is no such trajectory.")
        return trajectory

    async def _sample(
        self, trajectory: Trajectory, text: bytes, headers: Headers, operation: str, ask: _Ask
    ) -> Response:
        if trajectory.state != "open":
            raise ServiceError("ValidationException", f"The trajectory is {trajectory.state}.")
        try:
            body = json.loads(text)
        except ValueError:
            raise ServiceError("ValidationException", "The body is not JSON.") from None
        asked = SampleRequest(
            trajectory.job_arn,
            trajectory.trajectory_id,
            trajectory.instance,
            body,
            len(trajectory.turns),
        )
        began = time.monotonic()
        said = await ask(asked)
        took = time.monotonic() - began
        completion = said if "choices" in said else complete(asked, said)
        if trajectory.state != "open":  # sealed while the model was thinking
            raise ServiceError("ValidationException", f"The trajectory is {trajectory.state}.")
        trajectory.turns.append(CapturedTurn(body, completion, dict(headers), time.time(), took))
        self._note(trajectory)
        if operation == "Sample":
            return JSONResponse(completion)
        return Response(chunks(completion), media_type="text/event-stream")

    def _report(self, trajectory: Trajectory, operation: str, values: dict[str, Any]) -> Response:
        payload = values.get("Status", "ready") if "Rewards" not in values else values["Rewards"]
        token = values.get("ClientToken")
        status = 200
        try:
            self._apply(trajectory, operation, payload, token)
        except ServiceError as error:
            status = status_of(error.shape)
            raise
        finally:
            call = ReportCall(operation, payload, token, status, time.time())
            trajectory.reports.append(call)
            self._note(trajectory)
        return JSONResponse({})

    def _apply(
        self, trajectory: Trajectory, operation: str, payload: Any, token: str | None
    ) -> None:
        if token in trajectory.tokens:
            if trajectory.tokens[token] != (operation, payload):
                raise ServiceError("ConflictException", "The ClientToken was used for other words.")
            return
        if operation == "CompleteRollout":
            if trajectory.state != "open":
                raise ServiceError(
                    "ConflictException",
                    f"Cannot transition trajectory from {trajectory.state} to {payload}.",
                )
            trajectory.state = payload or "ready"
        else:
            if trajectory.state != "ready":
                raise ServiceError(
                    "ConflictException",
                    f"The trajectory is {trajectory.state}, not in valid status for a reward.",
                )
            if not payload:
                raise ServiceError("ValidationException", "Rewards is empty.")
            trajectory.state, trajectory.rewards = "rewarded", payload
        if token:
            trajectory.tokens[token] = (operation, payload)


def _document(body: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _streams(body: bytes) -> bool:
    return _document(body).get("stream") is True


def _with_job(headers: Headers, body: bytes) -> Headers:
    """The headers with the job that the body names, as the SDK's feedback client writes it."""
    job = _document(body).get("JobArn")
    return Headers({**headers, _JOB_HEADER: job}) if isinstance(job, str) else headers


def complete(asked: SampleRequest, message: dict[str, Any]) -> dict[str, Any]:
    """An assistant message as a whole chat completion; tokens are counted as four characters each."""
    prompt = len(json.dumps(asked.messages)) // 4
    generated = max(1, len(json.dumps(message)) // 4)
    return {
        "id": f"chatcmpl-{asked.trajectory_id}-{asked.turn}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.body.get("model", "simulated"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **message},
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
        },
    }


def completed(asked: SampleRequest, said: dict[str, Any]) -> dict[str, Any]:
    """A policy's answer as a whole chat completion; what it left out is filled in.

    Args:
        said: an assistant message, or a chat completion that may lack id, times, model or token counts.
    """
    if "choices" not in said:
        return complete(asked, said)
    whole = complete(asked, said["choices"][0]["message"])
    usage = whole["usage"] | (said.get("usage") or {})
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return {**whole, **said, "usage": usage}


async def _before(struck: list[Fault]) -> None:
    for fault in struck:
        if fault.kind == "delay":
            await asyncio.sleep(fault.value)
        elif fault.kind == "drop-before":
            raise _Dropped
        elif fault.kind == "status":
            retry_after = 0 if int(fault.value) in (429, 503) else None
            if int(fault.value) == 503:  # not in the model; what a load balancer answers
                raise ServiceError("503", "Service Unavailable", retry_after)
            raise ServiceError(shape_of(int(fault.value)), "A fault of the script.", retry_after)


def _error(error: ServiceError) -> Response:
    status = 503 if error.shape == "503" else status_of(error.shape)
    headers = {"x-amzn-ErrorType": error.shape}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse({"Message": error.message}, status, headers)
