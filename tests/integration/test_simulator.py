"""The simulator is as strict as the service's documentation."""

from __future__ import annotations

import json

import boto3
import httpx
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from devkit.emulator.faults import parse_faults
from devkit.emulator.job_runtime import JobRuntimeSimulator
from tests.building import JOB_ARN

BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=x/20260101/us-west-2/sagemaker/aws4_request, SignedHeaders=host, "
    f"Signature={'0' * 64}"
)


@pytest.fixture(scope="module")
def simulator():
    with JobRuntimeSimulator(lambda asked: {"content": f"turn {asked.turn}"}) as running:
        yield running


@pytest.fixture
def job(simulator, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "sagemakerjobruntime", "us-west-2", endpoint_url=simulator.url, config=config
    )


@pytest.fixture
def names(simulator, request):
    name = request.node.name[:200]
    simulator.hand_out(JOB_ARN, name, {})
    return {"JobArn": JOB_ARN, "TrajectoryId": name}


def status(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return 200, ""


def test_a_turn_is_captured(simulator, job, names):
    reply = json.loads(job.sample(**names, Body=BODY)["Body"].read())
    assert reply["choices"][0]["message"]["content"] == "turn 0"
    captured = simulator.trajectory(JOB_ARN, names["TrajectoryId"]).turns
    assert [turn.request for turn in captured] == [json.loads(BODY)]


def test_a_stream_is_captured_too(simulator, job, names):
    events = job.sample_with_response_stream(**names, Body=BODY)["Body"].read().decode()
    assert events.endswith("data: [DONE]\n\n")
    assert '"content": "turn 0"' in events
    assert len(simulator.trajectory(JOB_ARN, names["TrajectoryId"]).turns) == 1


def test_unknown_trajectories(job):
    unknown = {"JobArn": JOB_ARN, "TrajectoryId": "never"}
    assert status(job.sample, **unknown, Body=BODY) == (404, "ResourceNotFoundException")
    assert status(job.complete_rollout, **unknown) == (404, "ResourceNotFoundException")


def test_the_order_of_things(job, names):
    assert status(job.update_reward, **names, Rewards=[1.0]) == (409, "ConflictException")
    assert status(job.complete_rollout, **names, Status="ready")[0] == 200
    assert status(job.sample, **names, Body=BODY) == (400, "ValidationException")
    assert status(job.complete_rollout, **names, Status="failed") == (409, "ConflictException")
    assert status(job.update_reward, **names, Rewards=[1.0])[0] == 200
    assert status(job.update_reward, **names, Rewards=[0.0]) == (409, "ConflictException")


def test_a_failed_trajectory_takes_no_reward(job, names):
    job.complete_rollout(**names, Status="failed")
    assert status(job.update_reward, **names, Rewards=[1.0]) == (409, "ConflictException")


def test_client_tokens(job, names):
    for _ in range(2):
        assert status(job.complete_rollout, **names, Status="ready", ClientToken="a")[0] == 200
    assert status(job.complete_rollout, **names, Status="failed", ClientToken="a")[0] == 409
    assert status(job.update_reward, **names, Rewards=[1.0], ClientToken="a")[0] == 409


@pytest.mark.parametrize(
    "wrong", [{"JobArn": "nonsense"}, {"TrajectoryId": "x" * 257}, {"Status": "done"}]
)
def test_the_service_models_limits_hold(job, names, wrong):
    assert status(job.complete_rollout, **{**names, **wrong})[0] == 400


def test_unsigned_calls_are_refused(simulator):
    answer = httpx.post(f"{simulator.url}/sample", content=BODY)
    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert httpx.post(f"{simulator.url}/v1/chat/completions").status_code == 403


@pytest.mark.parametrize("stream", [False, True])
def test_an_openai_client_with_a_token_samples_as_the_sdks_agents_do(simulator, names, stream):
    headers = {
        "X-Amzn-SageMaker-Job-Arn": JOB_ARN,
        "X-Amzn-SageMaker-Trajectory-Id": names["TrajectoryId"],
    }
    client = openai.OpenAI(
        base_url=f"{simulator.url}/v1", api_key="a-token", default_headers=headers
    )
    asked = {"model": "default", "messages": [{"role": "user", "content": "go"}]}
    answer = client.chat.completions.create(**asked, stream=stream)
    text = (
        "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        if stream
        else answer.choices[0].message.content
    )
    assert text == "turn 0"
    (turn,) = simulator.trajectory(JOB_ARN, names["TrajectoryId"]).turns
    assert turn.request["messages"] == asked["messages"]


def test_a_signature_is_no_token(simulator, names):
    headers = {"Authorization": SIGNED, "X-Amzn-SageMaker-Job-Arn": JOB_ARN}
    headers["X-Amzn-SageMaker-Trajectory-Id"] = names["TrajectoryId"]
    answer = httpx.post(f"{simulator.url}/v1/chat/completions", content=BODY, headers=headers)
    assert answer.status_code == 403
    assert httpx.post(f"{simulator.url}/sample", content=BODY, headers=headers).status_code == 200


def test_reports_with_a_token_name_the_job_in_their_body(simulator, names):
    """And a repeat is told in the words the SDK's client takes for done (``sagemaker.train.rft.feedback``)."""

    def post(path, **words):
        headers = {"Authorization": "Bearer a-token", "Content-Type": "application/json"}
        document = json.dumps({**names, **words})
        return httpx.post(f"{simulator.url}/{path}", content=document, headers=headers)

    assert post("complete-rollout", Status="ready").status_code == 200
    assert post("update-reward", Rewards=[0.5]).status_code == 200
    assert simulator.trajectory(JOB_ARN, names["TrajectoryId"]).rewards == [0.5]
    again = post("complete-rollout", Status="failed")
    assert (again.status_code, "Cannot transition trajectory" in again.text) == (409, True)
    late = post("update-reward", Rewards=[0.1])
    assert (late.status_code, "not in valid status" in late.text) == (409, True)
    unknown = post("update-reward", Rewards=[1.0], TrajectoryId="never")
    assert unknown.status_code == 404


@pytest.mark.parametrize("code", [400, 402, 403, 404, 409, 429, 500, 503])
def test_faults_by_status(simulator, job, names, code):
    simulator.faults = parse_faults(f"CompleteRollout@1:status={code}")
    try:
        assert status(job.complete_rollout, **names)[0] == code
        assert status(job.complete_rollout, **names)[0] == 200
    finally:
        simulator.faults = parse_faults("")


@pytest.mark.parametrize("text", ["Sample", "Nothing:delay=1", "Sample@x:delay", "Sample:explode"])
def test_a_fault_script_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="is not OPERATION"):
        parse_faults(text)
