from __future__ import annotations

import pytest

from rollout.contract import RolloutRequest
from rollout.errors import Untrusted
from rollout.trust import check, job_runtime_endpoint
from tests.conftest import ACCOUNT, ENDPOINT, JOB_ARN, REGION, make_body, make_settings


def checked(body=None, settings=None, **metadata):
    request = RolloutRequest.model_validate(body or make_body(**metadata))
    return check(request, settings or make_settings())


def test_the_regional_endpoint_is_trusted_with_and_without_a_slash():
    assert checked().endpoint == ENDPOINT
    assert checked(endpoint=ENDPOINT + "/").endpoint == ENDPOINT


def test_a_stage_is_trusted_only_where_it_is_set():
    staged = job_runtime_endpoint(REGION, stage="gamma")
    assert staged == f"https://job-runtime.gamma.sagemaker.{REGION}.api.aws"
    with pytest.raises(Untrusted):
        checked(endpoint=staged)
    assert checked(endpoint=staged, settings=make_settings(stage="gamma")).endpoint == staged


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://job-runtime.sagemaker.us-west-2.api.aws",
        "https://job-runtime.sagemaker.us-east-1.api.aws",
        "https://user@job-runtime.sagemaker.us-west-2.api.aws",
        "https://job-runtime.sagemaker.us-west-2.api.aws:443",
        "https://job-runtime.sagemaker.us-west-2.api.aws:8443",
        "https://job-runtime.sagemaker.us-west-2.api.aws/path",
        "https://job-runtime.sagemaker.us-west-2.api.aws//",
        "https://job-runtime.sagemaker.us-west-2.api.aws?x=1",
        "https://job-runtime.sagemaker.us-west-2.api.aws#x",
        "https://job-runtime.sagemaker.us-west-2.api.aws.evil.example",
        "https://evil.example/job-runtime.sagemaker.us-west-2.api.aws",
        "https://evil-job-runtime.sagemaker.us-west-2.api.aws",
        "https://JOB-RUNTIME.sagemaker.us-west-2.api.aws",
        "https://job-runtime.sagemaker.us-west-2.api.aws\r\nHost: evil.example",
        "https://job-runtime.sagemaker.us-west-2.api.aws@evil.example",
        "https://127.0.0.1",
        "http://127.0.0.1:9000",
        "http://169.254.169.254",
        "https://[::1",
    ],
)
def test_any_other_endpoint_is_refused(endpoint):
    with pytest.raises(Untrusted) as caught:
        checked(endpoint=endpoint)
    assert caught.value.facts == {"field": "metadata.endpoint"}


def test_a_listed_host_is_trusted_exactly():
    settings = make_settings(allowed_endpoints="runtime.example.com, http://127.0.0.1:9000")
    for good in ("https://runtime.example.com", "http://127.0.0.1:9000"):
        assert checked(endpoint=good, settings=settings).endpoint == good
    for bad in ("http://runtime.example.com", "http://127.0.0.1:9001", "https://127.0.0.1:9000"):
        with pytest.raises(Untrusted):
            checked(endpoint=bad, settings=settings)


def test_a_plain_http_origin_off_loopback_is_never_trusted():
    settings = make_settings(allowed_endpoints="http://runtime.example.com:80")
    with pytest.raises(Untrusted):
        checked(endpoint="http://runtime.example.com:80", settings=settings)


@pytest.mark.parametrize(
    "job_arn",
    [
        "",
        "nonsense",
        JOB_ARN.replace(ACCOUNT, "999999999999"),
        JOB_ARN.replace(REGION, "eu-west-1"),
        JOB_ARN.replace("job/", "training-job/"),
        JOB_ARN + "\n",
        JOB_ARN + "/x" * 200,
    ],
)
def test_a_job_of_another_account_region_or_shape_is_refused(job_arn):
    with pytest.raises(Untrusted):
        checked(job_arn=job_arn)


def test_the_region_must_agree_only_if_it_was_sent():
    with pytest.raises(Untrusted) as caught:
        checked(region="us-east-1")
    assert caught.value.facts == {"field": "metadata.region"}
    east = JOB_ARN.replace(REGION, "us-east-1")
    body = make_body(job_arn=east, endpoint=job_runtime_endpoint("us-east-1"))
    del body["metadata"]["region"]
    settings = make_settings(allowed_regions="us-east-1,us-west-2")
    assert checked(body, settings).region == "us-east-1"


@pytest.mark.parametrize("trajectory_id", ["", "a b", "x" * 257, "a\r\nb", "ä", "a\x00"])
def test_trajectory_ids_are_plain(trajectory_id):
    with pytest.raises(Untrusted):
        checked(trajectory_id=trajectory_id)


def test_a_model_endpoint_must_be_listed():
    body = {**make_body(), "model_endpoint": "base-model"}
    with pytest.raises(Untrusted) as caught:
        checked(body)
    assert caught.value.facts == {"field": "model_endpoint"}
    settings = make_settings(allowed_model_endpoints="base-model")
    assert checked(body, settings).model_endpoint == "base-model"
    body = {**make_body(job_arn="", endpoint=""), "model_endpoint": "base-model"}
    assert checked(body, settings).job_arn == ""
