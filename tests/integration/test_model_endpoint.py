"""A rollout on a hosted SageMaker endpoint: InvokeEndpoint instead of Sample, nothing reported."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from devkit.emulator.server import Server
from devkit.emulator.stack import EmulatedStack
from rollout.aws import clients
from tests.building import completion

ROW = {"question": "What is 2 + 3?", "answer": "#### 5"}


@pytest.fixture
def hosted(monkeypatch):
    """The one route of sagemaker-runtime that is called, over real HTTP."""
    seen = []

    async def invoke(request):
        seen.append((request.path_params["name"], await request.json()))
        return JSONResponse(completion("#### 5"))

    route = Route("/endpoints/{name}/invocations", invoke, methods=["POST"])
    with Server(Starlette(routes=[route])) as server:
        environ = {
            "ROLLOUT_ALLOWED_MODEL_ENDPOINTS": "base-model",
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": server.url,
        }
        with EmulatedStack(lambda asked: {"content": "never asked"}, environ=environ) as stack:
            yield stack, seen
            clients.forget()


def test_a_model_is_evaluated_without_a_job(hosted):
    stack, seen = hosted
    metadata = {"job_arn": "", "trajectory_id": "eval-1", "endpoint": ""}
    body = {
        "instance": ROW,
        "metadata": metadata,
        "model_endpoint": "base-model",
        "model_name": "m",
    }
    answer = httpx.post(f"{stack.url}/rollout", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["reward"] == 1.0
    assert [(name, sent["model"]) for name, sent in seen] == [("base-model", "m")]
    assert stack.simulator.known() == set()
