"""Beside the local API: have a problem of one's own handed out, and read what was captured of it.

A trainer hands a problem out before it asks for its rollout. These two routes do so for whoever tries a
row by hand; no deployed stack has them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive

from devkit.emulator.job_runtime import JobRuntimeSimulator
from rollout.contract import parse_json, validate_rollout
from rollout.errors import MalformedRequest, RolloutError
from rollout.service.job_event import instance_of

REQUESTS, TRAJECTORIES = "/local/requests", "/local/trajectories/{trajectory_id}"
_LARGEST = 6_000_000


class Asked:
    """Which problem each trajectory is about that somebody has made up: what ``POST /rollout`` said last.

    A trainer knows its trajectories; here the simulated one learns them from whoever asks.
    """

    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], dict[str, Any]] = {}

    def note(self, body: bytes) -> None:
        """Remember the problem of a request; one that cannot be read is the API's to refuse."""
        with suppress(RolloutError):
            request = validate_rollout(parse_json(body))
            where = (request.metadata.job_arn, request.metadata.trajectory_id)
            self._instances[where] = request.instance

    def problem_of(self, job_arn: str, trajectory_id: str) -> dict[str, Any] | None:
        """The instance that was asked for; None where nobody has."""
        return self._instances.pop((job_arn, trajectory_id), None)


def _again(body: bytes) -> Receive:
    """A body that was read, to be read once more."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def with_own_problems(
    api: Any,
    simulator: JobRuntimeSimulator,
    job_arn: str,
    request_for: Callable[[str, dict[str, Any]], dict[str, Any]],
    asked: Asked | None = None,
) -> ASGIApp:
    """An ASGI application: two routes of the machine's own before those of the API.

    ``POST /local/requests`` takes a row of a dataset and answers the body of ``POST /rollout`` for it;
    ``GET /local/trajectories/ID`` answers the requests and replies that were captured.

    Args:
        api: answers everything else.
        job_arn: of the job whose trajectories are handed out.
        request_for: hands a problem out, by trajectory id and instance.
        asked: is told what ``POST /rollout`` asks for.
    """

    async def hand_out(request: Request) -> Response:
        body = await request.body()
        try:
            if len(body) > _LARGEST:
                raise ValueError("the row is larger than the 6 MB of a job's event")
            row: Any = parse_json(body)
            if not isinstance(row, dict):
                raise ValueError("a row is a JSON object")
        except (MalformedRequest, ValueError) as error:
            detail = error.detail if isinstance(error, MalformedRequest) else str(error)
            return JSONResponse({"title": "This is no row of a dataset", "detail": detail}, 400)
        known = cast("dict[str, Any]", row)
        instance = instance_of(known["prompt"]) if "prompt" in known else known
        return JSONResponse(request_for(f"try-{uuid.uuid4().hex[:12]}", instance))

    async def captured(request: Request) -> Response:
        try:
            found = simulator.trajectory(job_arn, request.path_params["trajectory_id"])
        except KeyError:
            return JSONResponse({"title": "There is no such trajectory"}, 404)
        turns = [{"request": turn.request, "reply": turn.response} for turn in found.turns]
        reports = [[report.operation, report.payload, report.status] for report in found.reports]
        return JSONResponse({"state": found.state, "turns": turns, "reports": reports})

    own = Starlette(
        routes=[
            Route(REQUESTS, hand_out, methods=["POST"]),
            Route(TRAJECTORIES, captured, methods=["GET"]),
        ]
    )

    async def front(scope: Any, receive: Any, send: Any) -> None:
        path = str(scope.get("path", ""))
        if asked is not None and path == "/rollout":
            body = await Request(scope, receive).body()
            asked.note(body)
            receive = _again(body)
        await (own if path.startswith("/local/") else api)(scope, receive, send)

    return front
