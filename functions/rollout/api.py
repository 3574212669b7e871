"""The HTTP entry point: ``POST /rollout``, ``GET /health``, ``GET /rollouts/{trajectory_id}``."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.api_gateway import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from rollout.contract import parse_rollout, prefers_async, read_body, route_path
from rollout.errors import MethodNotAllowed, NotFound, RolloutError
from rollout.service.health import check
from rollout.service.http_errors import CONTENT_TYPE, problem
from rollout.service.look_up import summary
from rollout.service.play_inline import play_inline
from rollout.service.snapshot import reseed_after_restore
from rollout.service.start_durable import start_durable
from rollout.settings import settings
from rollout.telemetry import logs

reseed_after_restore()
app = APIGatewayRestResolver()
_METHODS = {"/rollout": "POST", "/health": "GET"}
_ROUTES = "There is POST /rollout, GET /health and GET /rollouts/{trajectory_id}."


@app.get("/health")
def health() -> Response[Any]:
    """Healthy when the configuration holds and the agent loads; otherwise the reasons."""
    check(settings())
    return _json({"status": "healthy"})


@app.post("/rollout")
def rollout() -> Response[Any]:
    """Play one rollout and answer with its result; or only accept it (``Prefer: respond-async``)."""
    event = app.current_event
    body = read_body(event.body, event.is_base64_encoded, settings().max_body_bytes)
    request = parse_rollout(body)
    logs.about(request.metadata.job_arn, request.metadata.trajectory_id)
    # API Gateway keeps the last of several headers of a name in the one, all of them in the other.
    single = {name: [value] for name, value in event.headers.items() if value}
    several = {name: values for name, values in event.multi_value_headers.items() if values}
    if prefers_async({**single, **several}):
        # The path with the stage; event.path is without it.
        path = event.request_context.path or event.path
        headers, document = start_durable(request, settings(), entry_point="api").answer(path)
        return Response(202, "application/json", json.dumps(document), headers)
    left = app.lambda_context.get_remaining_time_in_millis() / 1000
    return _json(play_inline(request, settings(), left).answer())


# A pattern of our own: a trajectory id may hold a slash.
@app.get("/rollouts/.+")
def state() -> Response[Any]:
    """The state of a rollout; its job is named by ``?job_arn=``."""
    trajectory_id = unquote(app.current_event.path.removeprefix("/rollouts/"))
    job_arn = app.current_event.query_string_parameters.get("job_arn") or ""
    logs.about(job_arn, trajectory_id)
    return _json(summary(job_arn, trajectory_id, settings()))


@app.not_found  # pyright: ignore[reportUnknownMemberType] - the decorator has no types
def unknown(_: Exception) -> Response[Any]:
    """A route we do not have, or a method it does not take."""
    path = app.current_event.path
    allowed = "GET" if path.startswith("/rollouts/") else _METHODS.get(path)
    if allowed in (None, app.current_event.http_method):
        return _problem(NotFound(_ROUTES))
    response = _problem(MethodNotAllowed(f"{path.split('/')[1]} takes {allowed}."))
    response.headers["Allow"] = allowed
    return response


@app.exception_handler(RolloutError)
def failed(error: RolloutError) -> Response[Any]:
    """Every error of ours."""
    return _problem(error)


@app.exception_handler(Exception)
def crashed(error: Exception) -> Response[Any]:
    """A bug of ours: logged by type and place, answered without content."""
    logs.crashed(error)
    return _problem(RolloutError("An unexpected error; the log has its type and place."))


def _problem(error: RolloutError) -> Response[Any]:
    logs.refused(error)
    status, headers, body = problem(error)
    return Response(status, CONTENT_TYPE, body, dict(headers))


def _json(body: dict[str, Any]) -> Response[Any]:
    return Response(200, "application/json", json.dumps(body, ensure_ascii=False))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway REST proxy event."""
    logs.begin(context)
    # resolve() keeps event and context on a class that every resolver of the process shares. Set on
    # this app as well they win over it, so environments in one process cannot read each other's.
    event["path"] = route_path(event)
    app.current_event = APIGatewayProxyEvent(event)
    app.lambda_context = context
    return app.resolve(event, context)
