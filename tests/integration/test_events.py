"""Every sample event is replayed through the real handler."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import time

import boto3
import httpx
import pytest

from devkit.emulator.gateway import LambdaContext, environment_of
from devkit.emulator.sam_services import JOB_RUNTIME, url, variables
from devkit.emulator.stack import HANDLERS, EmulatedStack
from devkit.emulator.template import load_template
from environments.calculator import scripts as calculator
from rollout.settings import settings
from scripts.events import (
    EVALUATION,
    EVENTS,
    console_events,
    job_events,
    other_events,
    sample_events,
)
from tests.building import ROOT

JOB = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/my-job"
NAMED = url(JOB_RUNTIME)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    def gold(asked):
        return calculator.gold(asked.instance, asked.messages)

    with EmulatedStack(gold, durable=tmp_path_factory.mktemp("durable")) as running:
        os.environ["ROLLOUT_JOB_ENDPOINT"] = running.simulator.url
        settings.cache_clear()
        row = json.loads(json.loads((EVENTS / "rollout.json").read_text())["body"])["instance"]
        for number in range(1, 8):
            running.simulator.hand_out(JOB, f"trajectory-{number:04d}", row)
        running.simulator.hand_out(EVALUATION, "trajectory-0008", row)
        yield running


@pytest.fixture
def invoke(stack):
    """Invokes a function's handler; the Job Runtime beside containers is replaced by the simulator's."""

    def call(handler, name):
        text = (EVENTS / f"{name}.json").read_text().replace(NAMED, stack.simulator.url)
        return environment_of(HANDLERS / f"{handler}.py")()(
            json.loads(text), LambdaContext(timeout=60)
        )

    return call


@pytest.fixture(scope="module")
def console(stack):
    yield environment_of(ROOT / "functions/console/app.py")()
    asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


def test_the_files_are_the_samples():
    names = [*sample_events(), *console_events(), *job_events(), *other_events()]
    assert sorted(path.stem for path in EVENTS.glob("*.json")) == sorted([*names, "env"])


def test_the_functions_environment_is_the_services_own():
    assert json.loads((EVENTS / "env.json").read_text()) == {"Parameters": variables()}
    declared = load_template()["Globals"]["Function"]["Environment"]["Variables"]
    assert set(variables()) <= set(declared)  # sam local passes on nothing else


def test_an_endpoint_that_is_declared_and_empty_changes_no_client(monkeypatch):
    for service in ("dynamodb", "s3", "lambda"):
        name = f"AWS_ENDPOINT_URL_{service.upper()}"
        declared = load_template()["Globals"]["Function"]["Environment"]["Variables"]
        monkeypatch.setenv(name, declared[name])
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        client = boto3.session.Session().client(service, "us-west-2", **keys)
        assert client.meta.endpoint_url == f"https://{service}.us-west-2.amazonaws.com"


def test_the_files_are_as_written():
    for name, event in {**other_events(), **{k: v for k, (_, v) in job_events().items()}}.items():
        assert json.loads((EVENTS / f"{name}.json").read_text()) == event


# "state" asks for what "rollout" has played.
@pytest.mark.parametrize("name", sorted(sample_events()))
def test_an_api_event_is_answered_as_it_says(invoke, name):
    answer = invoke("api", name)
    assert answer["statusCode"] == sample_events()[name][0], answer["body"]
    if answer["statusCode"] >= 400:
        assert "application/problem+json" in str(answer["multiValueHeaders"])


@pytest.mark.parametrize("name", console_events())
def test_a_console_event_is_answered_as_it_says(console, name):
    event = json.loads((EVENTS / f"{name}.json").read_text())
    answer = console(event, LambdaContext())
    assert answer["statusCode"] == console_events()[name][0]
    body = answer["body"]
    text = gzip.decompress(base64.b64decode(body)).decode() if answer["isBase64Encoded"] else body
    assert "<script>alert" not in text
    assert answer["headers"]["content-security-policy"].startswith("default-src 'none'")
    if "html" in answer["headers"]["content-type"]:
        assert 'href="/v1/"' in text  # links stay under the stage
        assert 'href="/v1/static/console.css?v=' in text


@pytest.mark.parametrize("name", job_events())
def test_a_job_event_is_answered_as_it_says(invoke, name):
    answer = invoke("job", name)
    error = job_events()[name][0]
    assert answer == ({} if error is None else {**answer, "errorType": error})
    assert bool(answer.get("errorMessage")) == (error is not None)


def test_an_evaluation_jobs_rollout_is_rewarded_and_shown_as_one(stack, invoke):
    assert invoke("job", "job-evaluation") == {}
    for _ in range(600):
        trajectory = stack.simulator.trajectory(EVALUATION, "trajectory-0008")
        if trajectory.rewards:
            break
        time.sleep(0.05)
    assert trajectory.rewards == [1.0]
    assert trajectory.turns[0].request["temperature"] == 0
    page = httpx.get(f"{stack.console_url}/job", params={"job": EVALUATION}).text
    assert "my-job (evaluation)" in page
    assert (
        "my-job (evaluation)" not in httpx.get(f"{stack.console_url}/job", params={"job": JOB}).text
    )


def test_the_event_of_an_unknown_execution_closes_nothing(invoke):
    assert invoke("closer", "execution-failed")["closed"] == "no"


def test_the_scheduled_event_sweeps(invoke):
    assert set(invoke("sweep", "sweep")) == {"started", "delivered", "closed", "left"}
