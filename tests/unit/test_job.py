"""What a job sends, in all its shapes, and what it is answered."""

from __future__ import annotations

import json

import pytest

from rollout.errors import ContractViolation, MalformedRequest, Throttled, Unavailable, Untrusted
from rollout.service.job_event import job_error, job_request
from rollout.trust import check
from tests.building import ENDPOINT, JOB_ARN, make_settings


def event(**changes):
    metadata = {"jobArn": JOB_ARN, "rolloutId": "t-1", "endpoint": ENDPOINT}
    return {
        "prompt": '{"question": "1+1?"}',
        "metadata": {**metadata, **changes.pop("metadata", {})},
        "inferenceParams": {"temperature": 0.7, "topP": 0.9, "maxTokens": 64},
        **changes,
    }


@pytest.mark.parametrize(
    ("prompt", "instance"),
    [
        ('{"question": "1+1?"}', {"question": "1+1?"}),
        ("What is 1+1?", {"prompt": "What is 1+1?"}),
        ("[1, 2]", {"prompt": "[1, 2]"}),
        ("7", {"prompt": "7"}),
        ('{"a": NaN}', {"prompt": '{"a": NaN}'}),
        ({"question": "1+1?"}, {"question": "1+1?"}),
        ([{"role": "user", "content": "hi"}], {"prompt": [{"role": "user", "content": "hi"}]}),
    ],
)
def test_the_prompt_becomes_the_instance(prompt, instance):
    assert job_request(event(prompt=prompt), make_settings()).instance == instance


def test_the_wrapped_event_is_the_same():
    plain = job_request(event(), make_settings())
    assert job_request({"body": json.dumps(event())}, make_settings()) == plain
    assert job_request({"body": event()}, make_settings()) == plain
    params = plain.inference_params
    assert params is not None
    assert (params.temperature, params.top_p, params.max_tokens) == (0.7, 0.9, 64)


def test_a_missing_endpoint_falls_back_to_the_setting_then_to_the_regional_host():
    bare = event(metadata={"endpoint": None})
    assert job_request(bare, make_settings()).metadata.endpoint == ENDPOINT
    elsewhere = make_settings(job_endpoint="https://runtime.example.com")
    assert job_request(bare, elsewhere).metadata.endpoint == "https://runtime.example.com"
    china = JOB_ARN.replace("arn:aws:", "arn:aws-cn:").replace("us-west-2", "cn-north-1")
    request = job_request(event(metadata={"endpoint": "", "jobArn": china}), make_settings())
    assert request.metadata.endpoint.endswith("cn-north-1.api.amazonwebservices.com.cn")


def test_an_absent_region_is_not_one_that_was_sent():
    request = job_request(event(metadata={"region": None}), make_settings())
    assert "region" not in request.metadata.model_fields_set


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (None, ContractViolation),
        ([], ContractViolation),
        ({}, ContractViolation),
        ({"body": "{"}, MalformedRequest),
        ({"body": "[]"}, ContractViolation),
        ({"body": None}, ContractViolation),
        ({"metadata": "x", "prompt": ""}, ContractViolation),
        ({"metadata": {}, "prompt": ""}, ContractViolation),
        ({k: v for k, v in event().items() if k != "prompt"}, ContractViolation),
        (event(prompt="\ud800"), MalformedRequest),
        (event(extra=float("nan")), MalformedRequest),
        (event(inferenceParams={"temperature": "hot"}), ContractViolation),
    ],
)
def test_what_is_broken_is_refused_by_name(broken, error):
    with pytest.raises(error):
        job_request(broken, make_settings())


def test_errors_have_the_four_types():
    assert job_error(Untrusted("no"))["errorType"] == "AccessDenied"
    assert job_error(ContractViolation("no"))["errorType"] == "ValidationError"
    assert job_error(Throttled("later")) == {"errorType": "Throttling", "errorMessage": "later"}
    assert job_error(Unavailable("no"))["errorType"] == "InternalServerError"


def test_an_evaluation_job_is_served_as_a_training_job_is():
    arn = JOB_ARN.replace("job/AgentRFT/", "job/AgentRFTEvaluation/")
    assert "Evaluation" in arn
    metadata = {"jobArn": arn, "rolloutId": "trajectory-1"}
    request = job_request(
        {"prompt": "2 + 3", "metadata": metadata, "inferenceParams": {"temperature": 0}},
        make_settings(),
    )
    assert check(request, make_settings()).job_arn == arn
    assert request.inference_params.temperature == 0
