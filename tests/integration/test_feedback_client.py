"""Code written for the reference SDK, moved over by its import."""

from __future__ import annotations

import pytest

from devkit.emulator.faults import parse_faults
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from rollout import RolloutFeedbackClient, RolloutMetadata, make_inference_headers
from rollout.errors import ContractViolation, ReportRefused, RewardError, Untrusted


@pytest.fixture(scope="module")
def stack():
    with EmulatedStack(lambda asked: {"content": "hi"}) as running:
        yield running


@pytest.fixture
def metadata(stack, request):
    return stack.request(request.node.name, {"question": "?"})["metadata"]


def trajectory(stack, metadata):
    return stack.simulator.trajectory(JOB_ARN, metadata["trajectory_id"])


def test_headers_in_both_spellings(metadata):
    expected = {
        "X-Amzn-SageMaker-Job-Arn": JOB_ARN,
        "X-Amzn-SageMaker-Trajectory-Id": metadata["trajectory_id"],
    }
    camel = {"jobArn": JOB_ARN, "rolloutId": metadata["trajectory_id"], "endpoint": "x"}
    for given in (metadata, camel, RolloutMetadata(**metadata)):
        assert make_inference_headers(given) == expected


def test_complete_and_reward(stack, metadata):
    RolloutFeedbackClient(metadata).report_complete(0.5)
    assert trajectory(stack, metadata).rewards == [0.5]


def test_the_calls_one_by_one(stack, metadata):
    client = RolloutFeedbackClient(RolloutMetadata(**metadata))
    client.complete_rollout()
    client.update_reward([0.1, 0.2])
    assert trajectory(stack, metadata).rewards == [0.1, 0.2]


def test_an_error_sends_no_reward_unless_it_is_given_one(stack, metadata):
    RolloutFeedbackClient(metadata).report_error("boom")
    assert trajectory(stack, metadata).state == "failed"
    assert [r.operation for r in trajectory(stack, metadata).reports] == ["CompleteRollout"]


def test_a_reward_survives_a_failing_service(stack, metadata):
    stack.simulator.faults = parse_faults("UpdateReward@1:status=500,UpdateReward@2:drop-after")
    RolloutFeedbackClient(metadata).report_complete(1.0)
    stack.simulator.faults = parse_faults("")
    assert trajectory(stack, metadata).rewards == [1.0]


def test_nothing_is_skipped_in_silence(stack, metadata):
    with pytest.raises(ContractViolation, match="trajectory_id"):
        RolloutFeedbackClient({**metadata, "trajectory_id": None})
    with pytest.raises(Untrusted):
        RolloutFeedbackClient({**metadata, "endpoint": "https://evil.example"})
    with pytest.raises(RewardError):
        RolloutFeedbackClient(metadata).report_complete(float("nan"))
    assert trajectory(stack, metadata).reports == []
    RolloutFeedbackClient(metadata).complete_rollout("failed")
    with pytest.raises(ReportRefused):
        RolloutFeedbackClient(metadata).update_reward(1.0)
