"""Starlette behind Mangum, pydantic by hand."""

from __future__ import annotations

from mangum import Mangum
from model import RolloutRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from job import play


async def health(_: Request) -> JSONResponse:
    """Healthy."""
    return JSONResponse({"status": "healthy"})


async def rollout(request: Request) -> JSONResponse:
    """Play."""
    body = RolloutRequest.model_validate_json(await request.body())
    return JSONResponse(play(body.metadata.model_dump()))


async def parse(request: Request) -> JSONResponse:
    """Parse only."""
    body = RolloutRequest.model_validate_json(await request.body())
    return JSONResponse({"trajectory_id": body.metadata.trajectory_id})


routes = [
    Route("/health", health),
    Route("/rollout", rollout, methods=["POST"]),
    Route("/parse", parse, methods=["POST"]),
]
handler = Mangum(Starlette(routes=routes), lifespan="off")
