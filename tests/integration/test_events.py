"""Every sample event is replayed through the real handler."""

from __future__ import annotations

import json

import pytest

from agents import calculator
from local.events import EVENTS, sample_events
from local.gateway import LambdaContext, environment_of
from local.stack import HANDLERS, LocalStack

NAMES = list(sample_events())


@pytest.fixture(scope="module")
def handler():
    with LocalStack(lambda asked: calculator.gold(asked.instance, asked.messages)) as stack:
        # The events name the real regional host: an alias of it is the simulator, by its own URL.
        yield lambda event: environment_of(HANDLERS / "api.py")()(
            _at(event, stack), LambdaContext()
        )


def _at(event, stack):
    """The event, with the regional host's name replaced by the simulator's."""
    real = "https://job-runtime.sagemaker.us-west-2.api.aws"
    for trajectory_id in ("trajectory-0001", "trajectory-0002"):
        job = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/my-job"
        if (job, trajectory_id) not in stack.simulator.known():
            instance = json.loads(json.loads((EVENTS / "rollout.json").read_text())["body"])[
                "instance"
            ]
            stack.simulator.hand_out(job, trajectory_id, instance)
    return json.loads(json.dumps(event).replace(real, stack.simulator.url))


def test_the_files_are_the_samples():
    assert sorted(path.stem for path in EVENTS.glob("*.json")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_answered_as_it_says(handler, name):
    answer = handler(json.loads((EVENTS / f"{name}.json").read_text()))
    assert answer["statusCode"] == sample_events()[name][0], answer["body"]
    if answer["statusCode"] >= 400:
        assert "application/problem+json" in str(answer["multiValueHeaders"])
