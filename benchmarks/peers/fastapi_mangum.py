"""FastAPI behind Mangum."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from model import RolloutRequest

from job import play

app = FastAPI()


@app.get("/health")
def health() -> dict[str, str]:
    """Healthy."""
    return {"status": "healthy"}


@app.post("/rollout")
def rollout(request: RolloutRequest) -> dict[str, Any]:
    """Play."""
    return play(request.metadata.model_dump())


@app.post("/parse")
def parse(request: RolloutRequest) -> dict[str, str]:
    """Parse only."""
    return {"trajectory_id": request.metadata.trajectory_id}


handler = Mangum(app, lifespan="off")
