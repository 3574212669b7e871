"""Reports as they leave on the wire: a real boto3 client, with a fake where it hands over to HTTP."""

from __future__ import annotations

import io
import json
import threading

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from rollout import RolloutFeedbackClient, RolloutMetadata, make_inference_headers
from rollout.aws import clients
from rollout.aws.feedback import JobFeedback, feedback_for
from rollout.errors import (
    ContractViolation,
    ReportRefused,
    ReportUndelivered,
    RewardError,
    Untrusted,
)
from rollout.feedback import client_token, kept_by
from rollout.settings import settings
from rollout.trust import Destination
from tests.building import ENDPOINT, ENVIRON, JOB_ARN, REGION, make_body

READY = {"TrajectoryId": "t-1", "Status": "ready"}
FAILED = {"TrajectoryId": "t-1", "Status": "failed"}


class Raw(io.BytesIO):
    def stream(self):
        yield self.getvalue()


class Wire:
    """Takes what boto3 would send, and answers in order; 200 when nothing is left to answer."""

    def __init__(self):
        self.answers = []
        self.requests = []
        self.timeouts = []
        self.threads = []

    def take(self, request, read_timeout):
        self.requests.append(request)
        self.timeouts.append(read_timeout)
        self.threads.append(threading.current_thread().name)
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if isinstance(status, Exception):
            raise status
        return AWSResponse(request.url, status, headers, Raw(b"{}"))

    @property
    def heard(self):
        """Each request as its URL and its body without the token."""
        bodies = [json.loads(request.body) for request in self.requests]
        for body in bodies:
            del body["ClientToken"]
        return [(r.url, body) for r, body in zip(self.requests, bodies, strict=True)]

    @property
    def said(self):
        return [body for _, body in self.heard]


@pytest.fixture(autouse=True)
def wire(monkeypatch, clock):
    wire = Wire()

    def send(session, request):
        return wire.take(request, session._timeout.read_timeout)

    monkeypatch.setattr(URLLib3Session, "send", send)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    clients.forget()
    settings.cache_clear()
    yield wire
    clients.forget()
    settings.cache_clear()


def feedback(endpoint=ENDPOINT) -> JobFeedback:
    found = feedback_for(Destination(JOB_ARN, "t-1", endpoint, REGION, ""))
    assert isinstance(found, JobFeedback)
    return found


def metadata(**changes):
    return {**make_body()["metadata"], **changes}


# --- one report -------------------------------------------------------------------------------------


def test_completion_and_reward_go_to_the_jobs_runtime_signed_for_its_region(wire):
    feedback().complete("ready")
    feedback().reward((0.25, 1.0))
    assert wire.heard == [
        (f"{ENDPOINT}/complete-rollout", READY),
        (f"{ENDPOINT}/update-reward", {"TrajectoryId": "t-1", "Rewards": [0.25, 1.0]}),
    ]
    for request in wire.requests:
        assert request.headers["X-Amzn-SageMaker-Job-Arn"] == JOB_ARN.encode()
        assert f"/{REGION}/sagemaker/aws4_request" in request.headers["Authorization"].decode()


def test_a_report_carries_the_token_of_what_it_says(wire):
    feedback().complete("failed")
    feedback().reward([1.0])
    tokens = [json.loads(request.body)["ClientToken"] for request in wire.requests]
    assert tokens == [
        client_token(JOB_ARN, "t-1", "CompleteRollout", "failed"),
        client_token(JOB_ARN, "t-1", "UpdateReward", [1.0]),
    ]


def test_a_token_tells_every_part_of_a_report_apart_and_outlives_a_deployment():
    said = ("arn", "t-1", "UpdateReward", [1.0, 0.5])
    token = client_token(*said)
    # A report may be repeated by a later version of this library: same words, same token.
    assert token == "11b741a529241853c0902e95c163d0eacd1a59da86244da2fe605edec24df148"
    for place, other in enumerate(("arn2", "t-2", "CompleteRollout", [1.0])):
        changed = list(said)
        changed[place] = other
        assert client_token(*changed) != token


def test_a_report_goes_to_the_endpoint_that_was_checked_wherever_it_is(wire):
    feedback("https://runtime.example.com").complete("ready")
    assert wire.heard == [("https://runtime.example.com/complete-rollout", READY)]


def test_an_evaluation_reports_to_nobody():
    assert feedback_for(Destination("", "t-1", "", REGION, "base-model")) is None


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_final_no_is_told_apart_by_its_status(wire, status):
    wire.answers = [(status, {"x-amzn-errortype": "ConflictException"})]
    with pytest.raises(ReportRefused) as caught:
        feedback().complete("ready")
    assert caught.value.facts == {"operation": "CompleteRollout", "answered": status}
    assert f"CompleteRollout answered {status} ConflictException" in caught.value.detail
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "possibly_taken"),
    [
        (401, False),
        (402, False),
        (403, False),
        (429, False),
        (499, False),
        (500, True),
        (503, True),
    ],
)
@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0),
        ({"Retry-After": "\u00b2"}, 0),
    ],
)
def test_everything_else_may_pass_and_is_sent_once_by_botocore(
    wire, status, possibly_taken, headers, after
):
    wire.answers = [(status, headers)]
    with pytest.raises(ReportUndelivered) as caught:
        feedback().reward([1.0])
    assert (caught.value.retry_after, caught.value.possibly_taken) == (after, possibly_taken)
    assert caught.value.detail.startswith(f"UpdateReward answered {status} ")
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("error", "possibly_taken"), [(ConnectTimeoutError, False), (ReadTimeoutError, True)]
)
def test_a_connection_that_fails_may_pass_too(wire, error, possibly_taken):
    wire.answers = [(error(endpoint_url=ENDPOINT), {})]
    with pytest.raises(ReportUndelivered) as caught:
        feedback().complete("ready")
    assert (caught.value.retry_after, caught.value.possibly_taken) == (0, possibly_taken)
    assert {"CompleteRollout", f"({error.__name__})."} <= set(caught.value.detail.split())


@pytest.mark.parametrize("status", [300, 304])
def test_an_answer_that_is_neither_yes_nor_no_may_have_been_a_yes(wire, status):
    wire.answers = [(status, {})]
    with pytest.raises(ReportUndelivered) as caught:
        feedback().complete("ready")
    assert caught.value.detail.startswith(f"CompleteRollout answered {status}")
    assert caught.value.possibly_taken is True


def test_a_no_without_a_status_may_pass_and_may_have_been_a_yes(wire):
    wire.answers = [(ClientError({}, "UpdateReward"), {})]
    with pytest.raises(ReportUndelivered) as caught:
        feedback().reward([1.0])
    assert caught.value.detail.startswith("UpdateReward answered 0 ")
    assert (caught.value.retry_after, caught.value.possibly_taken) == (0, True)


def test_a_slow_answer_to_a_report_is_not_waited_for_beyond_ten_seconds(wire):
    feedback().complete("ready")
    assert wire.timeouts == [10.0]
    assert wire.threads == [
        "CompleteRollout"
    ]  # whoever looks at a stuck process sees what it waits for


# --- under the reference SDK's names ----------------------------------------------------------------


def test_the_headers_of_an_inference_request_name_its_trajectory():
    headers = {
        "X-Amzn-SageMaker-Job-Arn": JOB_ARN,
        "X-Amzn-SageMaker-Trajectory-Id": "t-1",
    }
    for given in (
        metadata(),
        {"jobArn": JOB_ARN, "rolloutId": "t-1"},
        RolloutMetadata.model_validate(metadata()),
    ):
        assert make_inference_headers(given) == headers


def test_what_is_missing_is_named():
    with pytest.raises(ContractViolation) as caught:
        make_inference_headers({"region": 5})
    assert "job_arn, region, trajectory_id" in caught.value.detail


def test_a_reward_is_reported_after_the_trajectory_is_sealed(wire):
    RolloutFeedbackClient(metadata()).report_complete(1)
    assert wire.heard == [
        (f"{ENDPOINT}/complete-rollout", READY),
        (f"{ENDPOINT}/update-reward", {"TrajectoryId": "t-1", "Rewards": [1.0]}),
    ]
    assert wire.timeouts == [10.0, 10.0]


def test_the_calls_can_be_made_one_by_one(wire):
    client = RolloutFeedbackClient(RolloutMetadata.model_validate(metadata()))
    client.complete_rollout()
    client.complete_rollout("failed")
    client.update_reward([0.5, 1])
    assert wire.said == [READY, FAILED, {"TrajectoryId": "t-1", "Rewards": [0.5, 1.0]}]


def test_an_error_is_reported_with_a_reward_only_if_it_is_given_one(wire):
    client = RolloutFeedbackClient(metadata())
    client.report_error("boom")
    assert wire.said == [FAILED]
    client.report_error("boom", reward=0.0)
    assert wire.said == [FAILED, FAILED, {"TrajectoryId": "t-1", "Rewards": [0.0]}]


@pytest.mark.parametrize("call", ["report_complete", "update_reward"])
def test_a_reward_that_cannot_be_sent_is_refused_before_anything_is_sent(wire, call):
    with pytest.raises(RewardError) as caught:
        getattr(RolloutFeedbackClient(metadata()), call)(float("nan"))
    assert f"RolloutFeedbackClient.{call} returned" in caught.value.detail
    assert wire.requests == []


def test_metadata_is_trusted_as_any_request_is():
    with pytest.raises(Untrusted):
        RolloutFeedbackClient(metadata(endpoint="https://evil.example"))


def test_metadata_without_an_endpoint_means_the_runtime_of_the_region_it_names(wire, monkeypatch):
    monkeypatch.setenv("ROLLOUT_ALLOWED_REGIONS", "us-west-2,eu-west-1")
    east = JOB_ARN.replace(REGION, "eu-west-1")
    RolloutFeedbackClient(metadata(job_arn=east, region="eu-west-1", endpoint="")).report_error("")
    here = metadata()
    del here["endpoint"], here["region"]
    RolloutFeedbackClient(here).report_error("")
    assert [url.split("/")[2] for url, _ in wire.heard] == [
        "job-runtime.sagemaker.eu-west-1.api.aws",
        "job-runtime.sagemaker.us-west-2.api.aws",
    ]


def test_metadata_without_an_endpoint_means_the_stage_that_is_set(wire, monkeypatch):
    monkeypatch.setenv("ROLLOUT_STAGE", "gamma")
    RolloutFeedbackClient(metadata(endpoint=None)).report_error("")
    assert wire.heard[0][0].startswith(f"https://job-runtime.gamma.sagemaker.{REGION}.api.aws/")


def test_an_endpoint_that_is_named_is_used(wire, monkeypatch):
    monkeypatch.setenv("ROLLOUT_ALLOWED_ENDPOINTS", "runtime.example.com")
    RolloutFeedbackClient(metadata(endpoint="https://runtime.example.com")).report_error("")
    assert wire.heard[0][0] == "https://runtime.example.com/complete-rollout"


def test_a_report_is_repeated_for_a_minute_and_then_given_up_loudly(wire):
    wire.answers = [(500, {"Retry-After": "29"})] * 2 + [(200, {})]
    RolloutFeedbackClient(metadata()).complete_rollout()
    assert wire.said == [READY] * 3
    wire.answers = [(500, {"Retry-After": "29"})] * 3
    with pytest.raises(ReportUndelivered):
        RolloutFeedbackClient(metadata()).update_reward(1.0)
    assert len(wire.requests) == 6


def test_inside_an_agent_the_rollout_reports_and_the_client_only_tells_it(wire):
    reported = []

    class Keeper:
        def complete(self, status):
            reported.append(status)

        def reward(self, rewards):
            reported.append(rewards)

    with kept_by(Keeper()):
        RolloutFeedbackClient({}).report_complete([1, 0])
    assert reported == ["ready", [1.0, 0.0]]
    RolloutFeedbackClient(metadata()).report_error("")
    assert reported == ["ready", [1.0, 0.0]]
    assert wire.said == [FAILED]
