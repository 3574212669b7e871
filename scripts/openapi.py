"""Writes ``docs/openapi.json``: the HTTP contract as OpenAPI 3.1, from the models that enforce it.

``python -m scripts.openapi``. Powertools can write one too, but only with its own validation switched on,
which triples the cost of a request.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from rollout.contract import RolloutRequest
from rollout.errors import (
    AgentUnavailable,
    AlreadyRunning,
    BodyMismatch,
    Boundary,
    ConfigurationError,
    ContractViolation,
    Draining,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    OutOfTime,
    ReportUndelivered,
    RolloutError,
    Throttled,
    TooLarge,
    Unavailable,
    Untrusted,
)
from rollout.service.http_errors import CONTENT_TYPE
from rollout.storage.record import STATES

PATH = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"
_PLAYING = (
    MalformedRequest,
    Untrusted,
    AlreadyRunning,
    BodyMismatch,
    TooLarge,
    ContractViolation,
    Throttled,
    RolloutError,
    Unavailable,
    Draining,
    ConfigurationError,
    AgentUnavailable,
    ReportUndelivered,
    OutOfTime,
)
_NUMBER = {"type": ["number", "null"]}
# As the platform's own models read them: numbers in text, and true for 1.
_READ_AS_NUMBERS = [
    {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
    {"type": "boolean"},
]
_RESULT = {
    "type": "object",
    "required": ["trajectory_id", "status", "reward", "rewards", "turns", "metrics", "output"],
    "properties": {
        "trajectory_id": {"type": "string"},
        "status": {"enum": ["ready", "failed"]},
        "reward": _NUMBER,
        "rewards": {"type": ["array", "null"], "items": {"type": "number"}},
        "turns": {"type": "integer", "minimum": 0},
        "metrics": {"type": "object", "additionalProperties": {"type": "number"}},
        "output": {"description": "What the agent returned; null where it is too large."},
        "error": {
            "type": "object",
            "required": ["type", "slug", "title", "boundary", "detail"],
            "additionalProperties": {"type": "string"},
        },
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "slug", "title", "status", "boundary", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:rollout:problem:[a-z-]+$"},
        "slug": {"type": "string", "pattern": "^[a-z-]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "boundary": {"enum": list(get_args(Boundary))},
        "detail": {"type": "string"},
    },
}
_STATE = {
    "type": "object",
    "required": ["trajectory_id", "job_arn", "state", "attempt"],
    "properties": {
        "trajectory_id": {"type": "string"},
        "job_arn": {"type": "string"},
        "state": {"enum": list(STATES)},
        "attempt": {"type": "integer"},
        "result": {"$ref": "#/components/schemas/Result"},
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["trajectory_id", "state", "location"],
    "properties": {
        "trajectory_id": {"type": "string"},
        "state": {"const": "accepted"},
        "location": {"type": "string"},
    },
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    request = RolloutRequest.model_json_schema(
        by_alias=False, ref_template="#/components/schemas/{model}"
    )
    definitions = request.pop("$defs")
    for number in definitions["InferenceParams"]["properties"].values():
        number["anyOf"] = [*number["anyOf"], *_READ_AS_NUMBERS]
    schemas = {
        **definitions,
        "RolloutRequest": request,
        "Result": _RESULT,
        "State": _STATE,
        "Accepted": _ACCEPTED,
        "Problem": _PROBLEM,
    }
    play = {
        "operationId": "rollout",
        "summary": "Play one rollout, or only accept it (Prefer: respond-async).",
        "parameters": [
            _parameter(
                "Prefer",
                "header",
                {"type": "string", "examples": ["respond-async"]},
                "respond-async (RFC 7240)",
            )
        ],
        "requestBody": {
            "required": True,
            "content": _content("application/json", "RolloutRequest"),
        },
        "responses": {
            "200": _answer("The rollout's result.", "Result"),
            "202": _answer("Accepted; Location names its state.", "Accepted"),
            **_problems(*_PLAYING),
        },
    }
    health = {
        "operationId": "health",
        "summary": "Whether the configuration holds and the agent loads.",
        "responses": {
            "200": {
                "description": "Healthy.",
                "content": {"application/json": {"schema": {"const": {"status": "healthy"}}}},
            },
            **_problems(RolloutError, ConfigurationError, AgentUnavailable),
        },
    }
    state = {
        "operationId": "state",
        "summary": "The state of a rollout.",
        "parameters": [
            _parameter(
                "trajectory_id", "path", {"type": "string"}, "As it was accepted; may hold a slash."
            ),
            _parameter(
                "job_arn", "query", {"type": "string"}, "Its job; absent for an evaluation."
            ),
        ],
        "responses": {
            "200": _answer("Its state, and its result once it is known.", "State"),
            **_problems(NotFound, RolloutError, Unavailable, ConfigurationError),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollout endpoint",
            "version": "1",
            "description": (
                "camelCase names of a request's fields are accepted too; unknown fields are ignored. "
                "Any other path is 404, any other method 405."
            ),
        },
        "paths": {
            "/rollout": {"post": play},
            "/health": {"get": health},
            "/rollouts/{trajectory_id}": {"get": state},
        },
        "components": {"schemas": schemas},
    }


def _problems(*errors: type[RolloutError]) -> dict[str, Any]:
    """The responses for these errors, one per status; each names the problem types it may carry."""
    responses: dict[str, Any] = {}
    for error in (*errors, MethodNotAllowed):
        response = responses.setdefault(
            str(error.status), {"description": "", "content": _content(CONTENT_TYPE, "Problem")}
        )
        response["description"] += f"urn:rollout:problem:{error.slug}: {error.title}. "
    return responses


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": _content("application/json", schema)}


def _content(kind: str, schema: str) -> dict[str, Any]:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameter(name: str, where: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


def written() -> str:
    """The document as its file holds it."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(written())
