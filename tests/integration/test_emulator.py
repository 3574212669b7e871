"""The built function under the real Runtime Interface Emulator and awslambdaric, Python 3.13."""

from __future__ import annotations

import json

import httpx
import pytest

from devkit.emulator.stack import JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from tests.building import ROOT
from tests.processes import emulator

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}


@pytest.fixture(scope="module")
def stack():
    with EmulatedStack(lambda asked: calculator.gold(asked.instance, asked.messages)) as running:
        yield running


@pytest.fixture(scope="module")
def invoke(stack, tmp_path_factory):
    """What Lambda would run: the built code and the built layer, and nothing of this checkout."""
    log = tmp_path_factory.mktemp("rie") / "log"
    environ = {**stack.environ(), "AWS_LAMBDA_FUNCTION_TIMEOUT": "30"}
    with emulator("ApiFunction", "api.handler", environ, log) as url:
        yield lambda event: httpx.post(url, json=event, timeout=60).json()


def event(name):
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def test_health_under_the_emulator(invoke):
    answer = invoke(event("health"))
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"status": "healthy"})


def test_a_rollout_under_the_emulator(invoke, stack):
    body = stack.request("rie-1", ROW)
    answer = invoke({**event("rollout"), "body": json.dumps(body)})
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["reward"] == 1.0
    assert stack.simulator.trajectory(JOB_ARN, "rie-1").state == "rewarded"


def test_a_bad_body_under_the_emulator(invoke):
    assert invoke(event("rollout-malformed"))["statusCode"] == 400
