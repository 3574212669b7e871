"""Code written for the reference SDK runs as an agent, unchanged but for its import."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI, OpenAI

from rollout import RolloutFeedbackClient, RolloutRequest, make_inference_headers
from rollout.adapters.existing import rft_agent, server_agent
from rollout.testing import rehearse

pytestmark = pytest.mark.filterwarnings("ignore")
INSTANCE = {"prompt": "2 + 3?", "answer": "5"}


def says(text):
    return lambda *_: {"content": text}


def ask(metadata, prompt):
    client = OpenAI(
        base_url=f"{metadata['endpoint']}/v1",
        api_key="token",
        default_headers=make_inference_headers(metadata),
        max_retries=0,
    )
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="m", messages=messages).choices[0].message.content


def invoke(payload):
    text = ask(payload["metadata"], payload["instance"]["prompt"])
    return {"reward": float(text == payload["instance"]["answer"]), "said": text}


async def invoke_async(payload):
    client = AsyncOpenAI(
        base_url=f"{payload['metadata']['endpoint']}/v1", api_key="token", max_retries=0
    )
    messages = [{"role": "user", "content": payload["instance"]["prompt"]}]
    chunks = await client.chat.completions.create(model="m", messages=messages, stream=True)
    text = "".join(
        [chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices]
    )
    return {"reward": float(text == payload["instance"]["answer"])}


@pytest.mark.parametrize("function", [invoke, invoke_async])
def test_a_handler_function_is_an_agent(function):
    right = rehearse(rft_agent(function), INSTANCE, says("5"))
    wrong = rehearse(rft_agent(function), INSTANCE, says("6"))
    assert (right.status, right.reward, right.turns) == ("ready", 1.0, 1)
    assert (wrong.status, wrong.reward) == ("ready", 0.0)


def test_what_a_function_returns_beside_the_reward_is_its_output():
    assert rehearse(rft_agent(invoke), INSTANCE, says("5")).output == {"said": "5"}


def make_server(returns):
    app = FastAPI()

    @app.post("/rollout")
    def rollout(request: RolloutRequest):
        text = ask(request.metadata.model_dump(), request.instance["prompt"])
        reward = float(text == request.instance["answer"])
        if returns:
            return {"reward": reward}
        RolloutFeedbackClient(request.metadata).report_complete(reward)
        return {"status": "ok"}

    return app


@pytest.mark.parametrize("returns", [True, False])
def test_a_fastapi_server_is_an_agent(returns):
    played = server_agent(make_server(returns))
    assert rehearse(played, INSTANCE, says("5")).reward == 1.0
    assert rehearse(played, INSTANCE, says("6")).reward == 0.0


def test_failures_keep_their_boundary_and_are_named():
    def lost(*_):
        raise OSError("the model's server is gone")

    result = rehearse(rft_agent(invoke), INSTANCE, lost)
    assert (result.status, result.reward) == ("failed", None)
    result = rehearse(rft_agent(lambda payload: {"no": "reward"}), INSTANCE, says("5"))
    assert "neither returned" in result.failure.detail
    broken = FastAPI()
    result = rehearse(server_agent(broken), INSTANCE, says("5"))
    assert "answered 404 to /rollout" in result.failure.detail

    def gave_up(payload):
        RolloutFeedbackClient(payload["metadata"]).report_error("no luck")

    result = rehearse(rft_agent(gave_up), INSTANCE, says("5"))
    assert "reported that its rollout failed" in result.failure.detail
