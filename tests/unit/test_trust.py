from __future__ import annotations

import re

import pytest
from boto3 import Session
from botocore.config import Config

from rollout.contract import RolloutMetadata, RolloutRequest
from rollout.errors import Untrusted
from rollout.settings import read_settings
from rollout.trust import Destination, check, check_metadata, is_name, job_runtime_endpoint
from tests.building import ACCOUNT, ENDPOINT, ENVIRON, JOB_ARN, REGION, make_body, make_settings


def checked(body=None, settings=None, **metadata):
    request = RolloutRequest.model_validate(body or make_body(**metadata))
    return check(request, settings or make_settings())


def test_the_regional_endpoint_is_trusted_with_and_without_a_slash():
    assert checked().endpoint == ENDPOINT
    assert checked(endpoint=ENDPOINT + "/").endpoint == ENDPOINT


@pytest.mark.parametrize("fips", [False, True])
def test_the_endpoint_is_the_one_botocore_resolves_and_is_trusted(fips):
    config = Config(use_fips_endpoint=fips, use_dualstack_endpoint=True)
    session = Session(aws_access_key_id="none", aws_secret_access_key="none")
    client = session.client("sagemakerjobruntime", region_name=REGION, config=config)
    url = job_runtime_endpoint(REGION, fips=fips)
    assert client.meta.endpoint_url == url
    assert checked(endpoint=url).endpoint == url


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://job-runtime.sagemaker-fips.us-east-1.api.aws",
        "https://job-runtime.sagemaker-fips.us-west-2.api.aws.evil.example",
        "https://job-runtime.sagemaker-fips.us-west-2.api.aws:443",
        "https://job-runtime-fips.sagemaker.us-west-2.api.aws",
    ],
)
def test_a_host_that_only_looks_like_the_fips_one_is_refused(endpoint):
    with pytest.raises(Untrusted):
        checked(endpoint=endpoint)


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


CONTAINER_HOST = "http://host.docker.internal:9010"
IN_SAM_LOCAL = {"AWS_SAM_LOCAL": "true", "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST"}
IN_LAMBDA = {"AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/25/[7]0123456789abcdef0123456789abcdef"}


def settings_in(environ, endpoints):
    return read_settings({**ENVIRON, **environ, "ROLLOUT_ALLOWED_ENDPOINTS": endpoints})


def test_a_containers_host_is_trusted_in_sam_local():
    settings = settings_in(IN_SAM_LOCAL, CONTAINER_HOST)
    assert checked(endpoint=CONTAINER_HOST, settings=settings).endpoint == CONTAINER_HOST
    for bad in (
        "http://host.docker.internal:9011",
        "http://host.docker.internal",
        "https://host.docker.internal:9010",
        "http://host.docker.internal:9010/path",
        "http://xhost.docker.internal:9010",
        "http://host.docker.internal.example.com:9010",
        "http://hostxdocker.internal:9010",
    ):
        with pytest.raises(Untrusted):
            checked(endpoint=bad, settings=settings)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        IN_LAMBDA,
        {"AWS_SAM_LOCAL": "true"},
        # Anybody who may configure the function can set this one, but not what Lambda reserves.
        {**IN_LAMBDA, "AWS_SAM_LOCAL": "true"},
        {**IN_SAM_LOCAL, "AWS_SAM_LOCAL": "false"},
        {**IN_SAM_LOCAL, "AWS_SAM_LOCAL": ""},
        {"AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST"},
        {**IN_LAMBDA, "AWS_SAM_LOCAL": "true", "LAMBDA_TASK_ROOT": "/var/task"},
    ],
)
def test_a_containers_host_is_trusted_nowhere_else_though_it_is_listed(environ):
    settings = settings_in(environ, CONTAINER_HOST)
    with pytest.raises(Untrusted):
        checked(endpoint=CONTAINER_HOST, settings=settings)
    assert checked(settings=settings).endpoint == ENDPOINT  # a stray parameter stops no job


def test_only_listing_it_makes_a_containers_host_trusted():
    with pytest.raises(Untrusted):
        checked(endpoint=CONTAINER_HOST, settings=settings_in(IN_SAM_LOCAL, ""))


@pytest.mark.parametrize(
    ("environ", "served"),
    [({}, "http://127.0.0.1:9000"), (IN_SAM_LOCAL, CONTAINER_HOST)],
)
def test_a_local_stack_refuses_the_real_host_and_names_the_one_it_serves(environ, served):
    settings = settings_in(environ, served)
    for other in (ENDPOINT, "http://127.0.0.1:9001"):
        with pytest.raises(Untrusted) as caught:
            checked(endpoint=other, settings=settings)
        assert served in caught.value.detail
        assert caught.value.facts == {"field": "metadata.endpoint"}
    assert checked(endpoint=served, settings=settings).endpoint == served


def test_in_lambda_a_loopback_entry_does_not_take_the_real_host_away():
    settings = settings_in(IN_LAMBDA, "http://127.0.0.1:9000")
    assert checked(settings=settings).endpoint == ENDPOINT
    with pytest.raises(Untrusted) as caught:
        checked(endpoint="https://other.example.com", settings=settings)
    assert REGION in caught.value.detail  # what this region's is, not what one machine serves


def test_a_local_stack_names_every_endpoint_it_serves():
    both = "http://127.0.0.1:9000,http://127.0.0.1:9001"
    with pytest.raises(Untrusted) as caught:
        checked(settings=settings_in({}, both))
    assert both.replace(",", ", ") in caught.value.detail
    assert caught.value.facts == {"field": "metadata.endpoint"}


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


@pytest.mark.parametrize(
    ("partition", "region", "suffix"),
    [
        ("aws", "eu-west-1", "api.aws"),
        ("aws-us-gov", "us-gov-west-1", "api.aws"),
        ("aws-cn", "cn-north-1", "api.amazonwebservices.com.cn"),
        ("aws-iso", "us-iso-east-1", "api.aws"),
    ],
)
def test_a_jobs_partition_decides_the_domain_it_is_served_under(partition, region, suffix):
    for stage, host in (("", "sagemaker"), ("", "sagemaker-fips"), ("gamma", "gamma.sagemaker")):
        endpoint = f"https://job-runtime.{host}.{region}.{suffix}"
        settings = make_settings(allowed_regions=region, stage=stage)
        arn = JOB_ARN.replace("arn:aws:", f"arn:{partition}:").replace(REGION, region)
        assert checked(job_arn=arn, endpoint=endpoint, region=region, settings=settings) == (
            Destination(arn, "t-1", endpoint, region, "")
        )


def test_a_trusted_request_goes_exactly_where_it_says():
    body = {**make_body(), "model_endpoint": "base-model"}
    settings = make_settings(allowed_model_endpoints="base-model,other")
    assert checked(body, settings) == Destination(JOB_ARN, "t-1", ENDPOINT, REGION, "base-model")
    evaluation = {**make_body(job_arn="", endpoint=""), "model_endpoint": "base-model"}
    assert checked(evaluation, settings) == Destination("", "t-1", "", REGION, "base-model")
    metadata = RolloutMetadata.model_validate(make_body()["metadata"])
    assert check_metadata(metadata, settings) == Destination(JOB_ARN, "t-1", ENDPOINT, REGION, "")


def test_an_evaluation_has_a_plain_trajectory_id_too():
    body = {**make_body(job_arn="", trajectory_id="a b"), "model_endpoint": "base-model"}
    with pytest.raises(Untrusted) as caught:
        checked(body, make_settings(allowed_model_endpoints="base-model"))
    assert caught.value.facts == {"field": "metadata.trajectory_id"}


def test_the_longest_arn_of_the_service_is_trusted_and_one_more_character_is_not():
    longest = JOB_ARN.replace("AgentRFT", "A" * (256 - len(JOB_ARN) + len("AgentRFT")))
    assert checked(job_arn=longest).job_arn == longest
    with pytest.raises(Untrusted):
        checked(job_arn=longest.replace("A/", "AA/"))


def test_a_listed_model_endpoint_must_be_a_name_that_sagemaker_gives():
    settings = make_settings(allowed_model_endpoints="../base,base-model")
    with pytest.raises(Untrusted):
        checked({**make_body(), "model_endpoint": "../base"}, settings)


def test_a_training_session_must_be_listed_or_any_allowed():
    body = {**make_body(job_arn="", endpoint=""), "training_session": "grpo-1"}
    for allowed in ("", "grpo-2", "grpo", "grpo-*"):
        with pytest.raises(Untrusted) as caught:
            checked(body, make_settings(allowed_training_sessions=allowed))
        assert caught.value.facts == {"field": "training_session"}
    for allowed in ("grpo-1,grpo-2", "*"):
        where = checked(body, make_settings(allowed_training_sessions=allowed))
        assert (where.training_session, where.job_arn, where.of_job) == ("grpo-1", "", False)
    with pytest.raises(Untrusted):
        checked({**body, "training_session": "../x"}, make_settings(allowed_training_sessions="*"))


def of_base_url(url, allowed, environ=None, **more):
    settings = read_settings({**ENVIRON, **(environ or {}), "ROLLOUT_ALLOWED_BASE_URLS": allowed})
    body = {**make_body(job_arn="", endpoint=""), "base_url": url, **more}
    return checked(body, settings)


def test_a_base_url_is_trusted_by_its_exact_host_and_port():
    listed = "gateway.example.com, gateway.example.com:8443"
    for url in (
        "https://gateway.example.com/v1",
        "https://gateway.example.com/v1/",
        "https://gateway.example.com",
        "https://gateway.example.com:8443/sessions/3f-2_a/v1",
    ):
        where = of_base_url(url, listed)
        assert (where.base_url, where.of_job, where.endpoint) == (url.rstrip("/"), False, "")


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.com/v1",
        "https://gateway.example.com:443/v1",
        "https://evil.example/v1",
        "https://gateway.example.com.evil.example/v1",
        "https://evil-gateway.example.com/v1",
        "https://x.gateway.example.com/v1",
        "https://GATEWAY.example.com/v1",
        "https://gateway.example.com./v1",
        "https://user@gateway.example.com/v1",
        "https://gateway.example.com@evil.example/v1",
        "https://gateway.example.com\\@evil.example/v1",
        "https://gateway.example.com/v1?x=1",
        "https://gateway.example.com/v1#x",
        "https://gateway.example.com/../v1",
        "https://gateway.example.com/a/./v1",
        "https://gateway.example.com//v1",
        "https://gateway.example.com/%2e%2e/v1",
        "https://gateway.example.com/v1 ",
        "https://gateway.example.com/v1\n",
        "https://gateway.example.com/v1\r\nHost: evil.example",
        "https://gateway.example.c\u043em/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "http://127.0.0.1:8000/v1",
        "file:///etc/passwd",
        "https://gateway.example.com/" + "a" * 2_048,
        "gateway.example.com",
    ],
)
def test_any_other_base_url_is_refused(url):
    with pytest.raises(Untrusted) as caught:
        of_base_url(url, "gateway.example.com,gateway.example.com:8443")
    assert caught.value.facts == {"field": "base_url"}
    assert "evil" not in caught.value.detail


def test_a_base_url_is_taken_whole_up_to_the_longest():
    longest = "https://gateway.example.com/" + "X" * (2_048 - 28)
    assert of_base_url(longest, "gateway.example.com").base_url == longest
    with pytest.raises(Untrusted):
        of_base_url(longest + "X", "gateway.example.com")


def test_no_base_url_is_allowed_unless_listed_and_no_entry_is_a_pattern():
    for allowed in (
        "",
        "*",
        ".example.com",
        "*.example.com",
        "example.com",
        "http://gateway.example.com",
    ):
        with pytest.raises(Untrusted):
            of_base_url("https://gateway.example.com/v1", allowed)


def test_a_plain_http_base_url_is_for_this_machine_and_never_in_lambda():
    url = "http://127.0.0.1:8000/v1"
    assert of_base_url(url, "http://127.0.0.1:8000").base_url == url
    with pytest.raises(Untrusted):
        of_base_url("http://127.0.0.1:8001/v1", "http://127.0.0.1:8000")
    for listed in ("http://127.0.0.1:8000", "http://gateway.example.com"):
        with pytest.raises(Untrusted):
            of_base_url(f"{listed}/v1", listed, IN_LAMBDA)
    with pytest.raises(Untrusted):
        of_base_url("http://gateway.example.com/v1", "http://gateway.example.com")


def test_a_request_brings_a_key_only_where_no_secret_has_it():
    url = "https://gateway.example.com/v1"
    where = of_base_url(url, "gateway.example.com", api_key="sk-1")
    assert where.api_key == "sk-1"
    assert "sk-1" not in repr(where)
    secret = {"ROLLOUT_BASE_URL_SECRET": "arn:aws:secretsmanager:us-west-2:123456789012:secret:a"}
    assert of_base_url(url, "gateway.example.com", secret).api_key == ""
    with pytest.raises(Untrusted) as caught:
        of_base_url(url, "gateway.example.com", secret, api_key="sk-1")
    assert caught.value.facts == {"field": "api_key"}


NOT_AN_ORIGIN = "https://HOST"
NOT_LISTED = f"{REGION}, nor a host in ROLLOUT_ALLOWED_ENDPOINTS"


@pytest.mark.parametrize(
    ("wrong", "field", "named"),
    [
        ({"trajectory_id": "a b"}, "trajectory_id", "1 to 256 characters of A-Z a-z 0-9 . _ : / -"),
        ({"job_arn": "nonsense"}, "job_arn", "ARN"),
        ({"job_arn": JOB_ARN.replace(ACCOUNT, "999999999999")}, "job_arn", "ROLLOUT_ACCOUNT_ID"),
        ({"job_arn": JOB_ARN.replace(REGION, "eu-west-1")}, "job_arn", "ROLLOUT_ALLOWED_REGIONS"),
        ({"region": "us-east-1"}, "region", "metadata.job_arn"),
        ({"endpoint": "https://evil.example"}, "endpoint", NOT_LISTED),
        ({"endpoint": "https://evil.example/"}, "endpoint", NOT_LISTED),
        ({"endpoint": "http://evil.example"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://user@evil.example"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://evil.example:8443"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://evil.example/path"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://evil.example?query"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://evil.example#fragment"}, "endpoint", NOT_AN_ORIGIN),
        ({"endpoint": "https://[::1"}, "endpoint", NOT_AN_ORIGIN),
    ],
)
def test_the_caller_is_told_the_field_and_what_would_be_right(wrong, field, named):
    with pytest.raises(Untrusted) as caught:
        checked(**wrong)
    assert caught.value.facts == {"field": f"metadata.{field}"}
    assert f"metadata.{field}" in caught.value.detail
    assert re.search(rf"(?<!\w){re.escape(named)}(?!\w)", caught.value.detail)


def test_the_caller_is_told_which_setting_allows_a_model_endpoint():
    with pytest.raises(Untrusted) as caught:
        checked({**make_body(), "model_endpoint": "base-model"})
    assert caught.value.facts == {"field": "model_endpoint"}
    assert "ROLLOUT_ALLOWED_MODEL_ENDPOINTS" in caught.value.detail


def _arn_of(length):
    kind = "k" * (length - len(JOB_ARN.replace("AgentRFT", "")))
    return JOB_ARN.replace("AgentRFT", kind)


@pytest.mark.parametrize(
    ("job_arn", "trajectory_id", "could_be"),
    [
        (JOB_ARN, "t-1", True),
        ("", "t-1", True),  # an evaluation has no job
        (_arn_of(256), "t-1", True),
        (_arn_of(257), "t-1", False),
        ("a prompt", "t-1", False),
        (JOB_ARN, "", False),
        (JOB_ARN, "a prompt", False),
        ("", "t" * 256, True),
        ("", "t" * 257, False),
    ],
)
def test_what_could_name_a_rollout_is_told_from_what_could_not(job_arn, trajectory_id, could_be):
    assert is_name(job_arn, trajectory_id) is could_be
