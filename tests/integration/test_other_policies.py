"""Policies that are not a job's: a training session, a server that the request names, a trainer's sessions."""

from __future__ import annotations

import json
import logging
import subprocess
import time

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devkit.emulator.server import Server, free_port
from devkit.emulator.stack import EmulatedStack
from rollout.aws import clients, secrets_manager
from rollout.aws.openai_server import OpenAIServer
from rollout.errors import BadReply, ContextFull, SampleFailed
from tests.building import REGION, ROOT, completion
from tests.integration.stack_calls import ASYNC

ROW = {"word": "canary-word"}
AGENT = "tests.playing:asking_twice"


class Runtime:
    """Answers in order, then says the word; remembers what it was asked."""

    def __init__(self):
        self.asked, self.answers = [], []

    async def answer(self, request):
        self.asked.append((request.url.path, dict(request.headers), await request.body()))
        if self.answers:
            return self.answers.pop(0)
        return JSONResponse(completion("canary-word"))


@pytest.fixture
def runtime():
    known = Runtime()
    with Server(
        Starlette(routes=[Route("/{path:path}", known.answer, methods=["POST"])])
    ) as server:
        known.url = server.url
        yield known
    clients.forget()
    secrets_manager.forget()


def of_no_job(trajectory_id="t-1", **more):
    metadata = {"job_arn": "", "trajectory_id": trajectory_id, "endpoint": ""}
    return {"instance": ROW, "metadata": metadata, **more}


def stack_with(environ):
    return EmulatedStack(lambda _: {"content": "never asked"}, agent=AGENT, environ=environ)


def post(stack, body, **more):
    return httpx.post(f"{stack.url}/rollout", json=body, timeout=60, **more)


# --- training sessions ------------------------------------------------------------------------------


def test_a_rollout_is_sampled_in_a_training_session_and_its_reward_is_the_answer(runtime):
    environ = {
        "ROLLOUT_ALLOWED_TRAINING_SESSIONS": "grpo-1",
        "AWS_ENDPOINT_URL_SAGEMAKERTRAININGSESSIONRUNTIME": runtime.url,
    }
    with stack_with(environ) as stack:
        answer = post(stack, of_no_job(training_session="grpo-1", model_name="m"))
        assert (answer.status_code, answer.json()["reward"]) == (200, 1.0), answer.text
        assert answer.json()["turns"] == 2
        assert stack.simulator.known() == set()
        path, headers, body = runtime.asked[0]
        assert path == "/training-sessions/grpo-1/sample"
        assert headers["content-type"] == "application/json"
        assert "/sagemaker/aws4_request" in headers["authorization"]
        assert json.loads(body)["model"] == "m"
        refused = post(stack, of_no_job("t-2", training_session="grpo-2"))
        assert (refused.status_code, refused.json()["field"]) == (403, "training_session")
    assert len(runtime.asked) == 2


def test_a_training_session_that_is_busy_is_asked_again_and_one_that_stopped_is_not(runtime):
    def error(status, name):
        return JSONResponse({"message": "no"}, status, {"x-amzn-ErrorType": name})

    runtime.answers = [error(429, "ThrottlingException"), error(500, "InternalServerException")]
    environ = {
        "ROLLOUT_ALLOWED_TRAINING_SESSIONS": "*",
        "AWS_ENDPOINT_URL_SAGEMAKERTRAININGSESSIONRUNTIME": runtime.url,
    }
    with stack_with(environ) as stack:
        assert post(stack, of_no_job(training_session="grpo-1")).json()["reward"] == 1.0
        assert len(runtime.asked) == 4
        runtime.answers = [error(409, "ConflictException")]
        stopped = post(stack, of_no_job("t-2", training_session="grpo-1")).json()
        assert (stopped["status"], stopped["error"]["boundary"]) == ("failed", "policy")
    assert len(runtime.asked) == 5


# --- a server that the request names ----------------------------------------------------------------


def test_a_rollout_is_sampled_at_the_server_it_names_with_its_own_key(runtime, caplog):
    caplog.set_level(logging.DEBUG)
    environ = {"ROLLOUT_ALLOWED_BASE_URLS": runtime.url}
    with stack_with(environ) as stack:
        body = of_no_job(
            base_url=f"{runtime.url}/sessions/7/v1/", api_key="sk-canary", model_name="m"
        )
        answer = post(stack, body)
        assert (answer.status_code, answer.json()["reward"]) == (200, 1.0), answer.text
        path, headers, sent = runtime.asked[0]
        assert path == "/sessions/7/v1/chat/completions"
        assert headers["authorization"] == "Bearer sk-canary"
        assert "x-amz-date" not in headers
        assert json.loads(sent)["model"] == "m"
        kept = stack.stored("", "t-1")
        row = httpx.get(f"{stack.url}/rollouts/t-1", params={"job_arn": ""}).text
        again = post(stack, {**body, "api_key": "sk-another"})
        assert again.json() == answer.json()  # the stored answer; a key is no part of the rollout
    assert len(runtime.asked) == 2
    assert "canary-word" in json.dumps(kept)
    assert "sk-canary" not in f"{json.dumps(kept)} {row} {answer.text} {caplog.text}"


def test_a_server_nobody_listed_is_never_asked(runtime):
    with stack_with({}) as stack:
        answer = post(stack, of_no_job(base_url=f"{runtime.url}/v1", api_key="sk"))
        assert (answer.status_code, answer.json()["field"]) == (403, "base_url")
    assert runtime.asked == []


def test_a_key_of_the_requests_is_not_kept_for_later(runtime, tmp_path):
    environ = {"ROLLOUT_ALLOWED_BASE_URLS": runtime.url}
    with EmulatedStack(
        lambda _: {"content": ""}, agent=AGENT, environ=environ, durable=tmp_path
    ) as stack:
        body = of_no_job(base_url=f"{runtime.url}/v1", api_key="sk")
        refused = post(stack, body, headers=ASYNC)
        assert (refused.status_code, refused.json()["slug"]) == (422, "contract-violation")
        del body["api_key"]
        assert post(stack, body, headers=ASYNC).status_code == 202
        until = time.monotonic() + 60
        url = f"{stack.url}/rollouts/t-1"
        while (state := httpx.get(url, params={"job_arn": ""}).json())["state"] != "ready":
            assert time.monotonic() < until, state
            time.sleep(0.1)
    assert state["result"]["reward"] == 1.0
    assert "authorization" not in runtime.asked[0][1]


@pytest.fixture
def secrets(monkeypatch):
    """Secrets Manager, by moto's server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=url)
    client.url = url
    yield client
    server.stop()


@pytest.mark.parametrize("form", ["text", "by host"])
def test_the_key_comes_from_the_operators_secret_and_is_read_once(runtime, secrets, form):
    host = runtime.url.removeprefix("http://")
    text = "sk-of-secret\n" if form == "text" else json.dumps({host: "sk-of-secret", "b": "other"})
    arn = secrets.create_secret(Name=f"key-{form.replace(' ', '-')}", SecretString=text)["ARN"]
    environ = {
        "ROLLOUT_ALLOWED_BASE_URLS": runtime.url,
        "ROLLOUT_BASE_URL_SECRET": arn,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
    }
    with stack_with(environ) as stack:
        for n in range(3):
            body = of_no_job(f"t-{n}", base_url=f"{runtime.url}/v1")
            assert post(stack, body).json()["reward"] == 1.0
        refused = post(stack, of_no_job("t-9", base_url=f"{runtime.url}/v1", api_key="sk"))
        assert (refused.status_code, refused.json()["field"]) == (403, "api_key")
    assert {headers["authorization"] for _, headers, _ in runtime.asked} == {"Bearer sk-of-secret"}
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def test_a_secret_without_a_key_for_the_host_or_that_is_gone_asks_nobody(runtime, secrets):
    arn = secrets.create_secret(Name="of-others", SecretString='{"b.example": "sk"}')["ARN"]
    for name in (arn, "not-there"):
        environ = {
            "ROLLOUT_ALLOWED_BASE_URLS": runtime.url,
            "ROLLOUT_BASE_URL_SECRET": name,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
            "ROLLOUT_INLINE_BUDGET": "3",
            "ROLLOUT_REPORT_MARGIN": "0.5",
        }
        with stack_with(environ) as stack:
            answer = post(stack, of_no_job(base_url=f"{runtime.url}/v1")).json()
        assert (answer["status"], answer["error"]["boundary"]) == ("failed", "policy")
        clients.forget()
        secrets_manager.forget()
    assert runtime.asked == []
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def sampled(runtime, seconds=20.0, url=None):
    server = OpenAIServer(f"{url or runtime.url}/v1", lambda: "sk", 5.0)
    return server.sample(b"{}", time.time() + seconds)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(runtime, status):
    elsewhere = Runtime()
    with Server(
        Starlette(routes=[Route("/{path:path}", elsewhere.answer, methods=["POST", "GET"])])
    ) as trap:
        runtime.answers = [Response(status_code=status, headers={"Location": f"{trap.url}/v1"})]
        with pytest.raises(SampleFailed) as caught:
            sampled(runtime)
    assert (elsewhere.asked, len(runtime.asked), caught.value.captured) == ([], 1, "no")


def test_what_was_surely_not_sampled_is_sent_again_and_nothing_else(runtime):
    runtime.answers = [Response(status_code=429, headers={"Retry-After": "0"})] * 2
    assert b"canary-word" in sampled(runtime)
    assert len(runtime.asked) == 3
    for status, captured in (
        (500, "unknown"),
        (502, "unknown"),
        (503, "unknown"),
        (401, "no"),
        (404, "no"),
    ):
        runtime.asked, runtime.answers = [], [Response("<html>", status)]
        with pytest.raises(SampleFailed) as caught:
            sampled(runtime)
        assert (caught.value.captured, len(runtime.asked)) == (captured, 1), status
        assert "html" not in caught.value.detail
    full = {"error": {"message": "This model's maximum context length is 4096 tokens", "code": "x"}}
    runtime.answers = [JSONResponse(full, 400)]
    with pytest.raises(ContextFull):
        sampled(runtime)
    runtime.answers = [Response(b"x" * 6_000_001)]
    with pytest.raises(BadReply):
        sampled(runtime)


def test_a_server_that_is_not_there_or_cannot_prove_its_name(runtime):
    with pytest.raises(SampleFailed) as caught:
        sampled(runtime, seconds=0.6, url=f"http://127.0.0.1:{free_port()}")
    assert caught.value.captured == "no"
    with pytest.raises(SampleFailed) as caught:  # no TLS there: nobody read the key
        sampled(runtime, url=runtime.url.replace("http://", "https://"))
    assert runtime.asked == []


# --- a trainer's sessions ---------------------------------------------------------------------------


def test_a_trainer_of_agentcore_rl_toolkit_plays_its_sessions_here():
    port, count = free_port(), 40
    environ = {"ROLLOUT_ALLOWED_BASE_URLS": f"http://127.0.0.1:{port}"}
    with stack_with(environ) as stack:
        program = [
            ROOT / ".tools/agentcore/bin/python",
            ROOT / "tests/integration/agentcore_trainer.py",
        ]
        run = subprocess.run(
            [*map(str, program), stack.url, str(port), str(count)], check=False,
            capture_output=True, text=True, timeout=120, env={"AWS_DEFAULT_REGION": REGION},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
        assert stack.simulator.known() == set()
    played = [json.loads(line) for line in run.stdout.splitlines()]
    assert [one["n"] for one in played] == list(range(count))
    for one in played:
        assert one["reward"] == 1.0, (one, run.stderr[-2000:])
        assert one["result"]["turns"] == 2
        # Each turn was captured by the trainer's gateway, in the session of its own rollout.
        assert len(one["said"]) == 2
        assert all(f"word-{one['n']}-" in text for text in one["said"])
    assert len({one["result"]["trajectory_id"] for one in played}) == count
