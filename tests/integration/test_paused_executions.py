"""Durable executions that somebody pauses or deletes: what the sweep makes of them, and what a pause costs."""

from __future__ import annotations

import gc
import json
import os
import time
import warnings
from threading import Thread

import httpx
import pytest
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner
from starlette.responses import JSONResponse

from devkit.emulator.gateway import LambdaContext, environment_of
from devkit.emulator.server import Server
from devkit.emulator.stack import HANDLERS, JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from rollout.aws.durable_steps import DurableSteps, Spill
from rollout.contract import validate_rollout
from rollout.errors import SampleInterrupted
from rollout.results import Result, Rollout
from rollout.settings import settings
from rollout.storage.records import Records
from rollout.trust import check

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
ARN = "arn:aws:lambda:us-west-2:123456789012:function:worker:1/durable-execution/name/id"


@pytest.fixture
def lambda_says():
    """Lambda's GetDurableExecution on loopback: answers the status in the list, 404 where it is empty."""
    status = [""]

    async def answer(scope, receive, send):
        document = {"Status": status[0], "InputPayload": "{}"}
        gone = {"x-amzn-ErrorType": "ResourceNotFoundException"}
        response = JSONResponse(document) if status[0] else JSONResponse({}, 404, gone)
        await response(scope, receive, send)

    server = Server(answer).start()
    yield server.url, status
    server.stop()


@pytest.fixture
def stack(lambda_says):
    environ = {"AWS_ENDPOINT_URL_LAMBDA": lambda_says[0], "ROLLOUT_JOB_TIMEOUT": "600"}
    with EmulatedStack(
        lambda asked: calculator.gold(asked.instance, asked.messages), environ=environ
    ) as running:
        yield running


def change(trajectory_id, **sets):
    from rollout.aws import clients

    key = {"pk": {"S": f"rollout#{JOB_ARN}#{trajectory_id}"}, "sk": {"S": "rollout"}}
    clients.client("dynamodb", settings().region).update_item(
        TableName=os.environ["ROLLOUT_TABLE"],
        Key=key,
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in sets),
        ExpressionAttributeValues={f":{name}": {"S": value} for name, value in sets.items()},
    )


def begun(stack, trajectory_id="t-1"):
    """A rollout whose durable execution has taken it up, and whose lease is over."""
    request = validate_rollout(stack.request(trajectory_id, ROW))
    records = Records(settings())
    decision = records.accept_durable(
        Rollout.of(request, check(request, settings())), entry_point="api"
    )
    records.begin(decision.acceptance, ARN)
    change(trajectory_id, due_at="2020-01-01T00:00:00.000+00:00")


def sweep():
    return environment_of(HANDLERS / "sweep.py")()({}, LambdaContext(timeout=300))


def state(stack, trajectory_id="t-1"):
    url = f"{stack.url}/rollouts/{trajectory_id}"
    return httpx.get(url, params={"job_arn": JOB_ARN}, timeout=10).json()


@pytest.mark.parametrize("status", ["PAUSING", "PAUSED"])
def test_a_paused_rollout_is_left_until_its_jobs_time_is_over(stack, lambda_says, status):
    lambda_says[1][0] = status
    begun(stack)
    assert sweep()["left"] == 1
    assert state(stack)["state"] == "running"
    assert not stack.simulator.trajectory(JOB_ARN, "t-1").reports
    long_ago = "2020-01-01T00:00:00.000+00:00"
    change("t-1", due_at=long_ago, accepted_at=long_ago)
    assert sweep()["closed"] == 1
    told = state(stack)
    assert told["state"] == "failed"
    assert "paused" in told["result"]["error"]["detail"]
    (report,) = stack.simulator.trajectory(JOB_ARN, "t-1").reports
    assert report.operation == "CompleteRollout"


@pytest.mark.parametrize(
    ("status", "why"),
    [("DELETING", "deleted"), ("", "deleted"), ("STOPPED", "stopped"), ("RUNNING", "heard of")],
)
def test_a_rollout_whose_lease_is_over_is_closed_with_what_became_of_it(
    stack, lambda_says, status, why
):
    lambda_says[1][0] = status
    begun(stack)
    assert sweep()["closed"] == 1
    assert why in state(stack)["result"]["error"]["detail"]


def test_the_console_names_the_execution_to_look_at(stack):
    begun(stack)
    page = httpx.get(f"{stack.console_url}/trajectory", params={"job": JOB_ARN, "id": "t-1"})
    assert ARN in page.text
    inline = httpx.post(f"{stack.url}/rollout", json=stack.request("t-2", ROW), timeout=60)
    assert inline.status_code == 200
    page = httpx.get(f"{stack.console_url}/trajectory", params={"job": JOB_ARN, "id": "t-2"})
    assert page.status_code == 200
    assert "durable-execution" not in page.text


class Nowhere:
    """A bucket that nothing is moved to: the steps here are small."""


def until(true):
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError


def played(pause_in):
    """Two turns; the execution is paused in the first one's Sample or in the agent's own time after it."""
    sampled, threads, arn, runners = [], [], [], []

    def pause():
        pausing = Thread(target=runners[0].pause_execution, args=(arn[0], 30))
        pausing.start()
        threads.append(pausing)
        until(lambda: runners[0]._executor.get_execution(arn[0]).is_paused)

    def sample():
        sampled.append(len(sampled))
        if pause_in == "sample" and len(sampled) == 1:
            pause()
        return b'{"choices": []}'

    def agent(steps):
        try:
            steps.turn(0, b"{}", sample)
            if pause_in == "agent" and not threads:
                pause()
            steps.turn(1, b"{}", sample)
        except SampleInterrupted as error:
            return Result("failed", None, failure=error.failure())
        return Result("ready", [1.0])

    @durable_execution
    def handler(event, context):
        until(lambda: arn)
        steps = DurableSteps(
            context, spill=Spill(Nowhere(), lambda arn, name: name), replay=True,
            before_first_turn=lambda: None, sample_timeout=1.0, retry_until=time.time() + 60,
        )  # fmt: skip
        return steps.play(lambda: agent(steps)).dump()

    with DurableFunctionTestRunner(handler=handler) as runner:
        runners.append(runner)
        arn.append(runner.run_async(input="{}", timeout=60))
        until(lambda: threads)
        threads[0].join()
        before = len(sampled)
        runner.resume_execution(arn[0])
        result = json.loads(runner.wait_for_result(arn[0], timeout=30).result)
    with warnings.catch_warnings():  # the runner leaves its event loop open
        warnings.simplefilter("ignore", ResourceWarning)
        del runner
        runners.clear()
        gc.collect()
    assert before == 1  # nothing is played while it is paused
    return Result.load(result), sampled


def test_a_pause_inside_a_turn_costs_nothing():
    result, sampled = played("sample")
    assert result.status == "ready"
    assert sampled == [0, 1]


def test_a_pause_between_turns_fails_the_rollout_and_samples_nothing_twice():
    result, sampled = played("agent")
    assert result.failure.slug == "sample-interrupted"
    assert sampled == [0]
