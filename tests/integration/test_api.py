"""POST /rollout through the real handler against the Job Runtime simulator, over HTTP."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import httpx
import pytest

from devkit.emulator.faults import parse_faults
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from devkit.rehearsal.play import play_groups, read_rows
from environments.calculator import scripts as calculator

ROW = {"question": "What is 2 + 3?", "answer": "2+3 = <<2+3=5>>5\n#### 5"}


def gold(asked):
    return calculator.gold(asked.instance, asked.messages)


@pytest.fixture(scope="module")
def stack():
    with EmulatedStack(gold) as running:
        yield running


@pytest.fixture
def post(stack):
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        yield lambda body, **kw: http.post("/rollout", json=body, **kw)


def problem(response, status, slug):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:rollout:problem:{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def test_gsm8k_through_the_api(stack, gsm8k):
    """200 published multi-turn problems: reward 1.0, each turn captured once, each report sent once."""
    rows = [row for row in read_rows(gsm8k, 660) if "<<" in row["answer"]][:200]
    assert len(rows) == 200
    played = list(play_groups(stack, rows, group_size=1, run="gsm8k"))
    assert {row.http_status for row in played} == {200}
    assert {row.reward for row in played} == {1.0}
    turns = 0
    for row in played:
        trajectory = stack.simulator.trajectory(JOB_ARN, row.trajectory_id)
        assert trajectory.state == "rewarded"
        assert trajectory.rewards == [1.0]
        assert len(trajectory.turns) == row.turns_answered >= 2
        asked = [json.dumps(turn.request["messages"]) for turn in trajectory.turns]
        assert len(set(asked)) == len(asked)
        assert [(r.operation, r.status) for r in trajectory.reports] == [
            ("CompleteRollout", 200),
            ("UpdateReward", 200),
        ]
        for turn in trajectory.turns:
            assert turn.headers["x-amzn-sagemaker-trajectory-id"] == row.trajectory_id
            assert turn.request["max_tokens"] == 1024
        turns += len(trajectory.turns)
    assert turns > 600


def test_the_answer_is_the_contract(stack, post):
    response = post(stack.request("answer-1", ROW))
    assert response.status_code == 200
    assert response.json() == {
        "trajectory_id": "answer-1",
        "status": "ready",
        "reward": 1.0,
        "rewards": [1.0],
        "turns": 2,
        "metrics": {"tool_calls": 1, "answered": 1.0},
        "output": {"answer": "5"},
    }


def test_health(stack):
    response = httpx.get(f"{stack.url}/health")
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


def test_a_repeat_gets_the_stored_answer(stack, post):
    body = stack.request("repeat-1", ROW)
    first = post(body)
    assert post(body).json() == first.json()
    trajectory = stack.simulator.trajectory(JOB_ARN, "repeat-1")
    assert len(trajectory.turns) == 2
    assert len(trajectory.reports) == 2


def test_another_body_for_the_same_trajectory(stack, post):
    body = stack.request("mismatch-1", ROW)
    post(body)
    problem(post({**body, "instance": {**ROW, "question": "?"}}), 409, "body-mismatch")


def test_a_repeat_while_it_runs(stack, post):
    inside, go_on = threading.Event(), threading.Event()

    def slow(asked):
        inside.set()
        go_on.wait(10)
        return gold(asked)

    stack.simulator.policy = slow
    try:
        body = stack.request("running-1", ROW)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, body)
            assert inside.wait(10)
            again = post(body)
            problem(again, 409, "already-running")
            assert int(again.headers["retry-after"]) >= 1
            state = httpx.get(f"{stack.url}/rollouts/running-1", params={"job_arn": JOB_ARN}).json()
            assert state["state"] == "running"
            go_on.set()
            assert first.result().json()["reward"] == 1.0
    finally:
        go_on.set()
        stack.simulator.policy = gold


def test_the_state_of_a_rollout(stack, post):
    post(stack.request("state/with:odd.id", ROW))
    url = f"{stack.url}/rollouts/state%2Fwith:odd.id"
    answer = httpx.get(url, params={"job_arn": JOB_ARN}).json()
    assert answer["state"] == "ready"
    assert answer["result"]["reward"] == 1.0
    assert answer["report"]["delivery"] == "delivered"
    problem(httpx.get(f"{stack.url}/rollouts/never", params={"job_arn": JOB_ARN}), 404, "not-found")


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"", 400, "malformed-json"),
        (b"{", 400, "malformed-json"),
        (b"\xff\xfe", 400, "malformed-json"),
        (b"[]", 422, "contract-violation"),
        (b"{}", 422, "contract-violation"),
        (b'"' + b"x" * 5_000_001 + b'"', 413, "too-large"),
    ],
)
def test_bodies_that_are_none(stack, content, status, slug):
    problem(httpx.post(f"{stack.url}/rollout", content=content), status, slug)


def test_an_endpoint_that_is_not_ours(stack, post):
    body = stack.request("evil-1", ROW)
    body["metadata"]["endpoint"] = "https://evil.example"
    assert problem(post(body), 403, "untrusted")["field"] == "metadata.endpoint"
    problem(httpx.get(f"{stack.url}/rollouts/evil-1?job_arn={JOB_ARN}"), 404, "not-found")


def test_routes_and_methods(stack):
    problem(httpx.get(f"{stack.url}/nowhere"), 404, "not-found")
    response = httpx.get(f"{stack.url}/rollout")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


CLEAN = [("CompleteRollout", 200), ("UpdateReward", 200)]


@pytest.mark.parametrize(
    ("faults", "reports"),
    [
        ("CompleteRollout@1:status=500", CLEAN),
        ("CompleteRollout@1:status=503", CLEAN),
        ("UpdateReward@1:status=429,UpdateReward@2:status=500", CLEAN),
        ("CompleteRollout@1:drop-before", CLEAN),
        ("CompleteRollout@1:drop-after", [CLEAN[0], *CLEAN]),
        ("UpdateReward@1:drop-after", [*CLEAN, CLEAN[1]]),
        ("CompleteRollout@1:drop-after,UpdateReward@1:drop-after", [CLEAN[0], *CLEAN, CLEAN[1]]),
        ("Sample@1:status=429,Sample@2:status=429", CLEAN),
    ],
)
def test_faults_that_pass(faults, reports):
    with EmulatedStack(gold, faults=parse_faults(faults)) as stack:
        answer = httpx.post(f"{stack.url}/rollout", json=stack.request("f", ROW), timeout=60)
        trajectory = stack.simulator.trajectory(JOB_ARN, "f")
    assert answer.json()["reward"] == 1.0
    assert trajectory.state == "rewarded"
    assert len(trajectory.turns) == 2
    assert [(r.operation, r.status) for r in trajectory.reports] == reports
    tokens = {(r.operation, r.client_token) for r in trajectory.reports}
    assert len(tokens) == 2


@pytest.mark.parametrize("fault", ["drop-before", "drop-after", "status=500"])
def test_a_sample_that_may_have_been_captured_ends_the_rollout(fault):
    with EmulatedStack(gold, faults=parse_faults(f"Sample@2:{fault}")) as stack:
        body = stack.request("f", ROW)
        answer = httpx.post(f"{stack.url}/rollout", json=body, timeout=60)
        again = httpx.post(f"{stack.url}/rollout", json=body, timeout=60)
        trajectory = stack.simulator.trajectory(JOB_ARN, "f")
    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"]["boundary"] == "policy"
    assert again.json() == answer.json()
    assert trajectory.calls["Sample"] == 2
    assert trajectory.state == "failed"


def test_a_reward_that_does_not_get_through_is_kept_and_delivered_by_a_repeat():
    with EmulatedStack(
        gold, environ={"ROLLOUT_INLINE_BUDGET": "3", "ROLLOUT_REPORT_MARGIN": "1"}
    ) as stack:
        stack.simulator.faults = parse_faults("UpdateReward:status=500")
        body = stack.request("f", ROW)
        answer = httpx.post(f"{stack.url}/rollout", json=body, timeout=60)
        document = problem(answer, 503, "report-undelivered")
        assert document["result"]["reward"] == 1.0
        assert int(answer.headers["retry-after"]) > 0
        stack.simulator.faults = parse_faults("")
        again = httpx.post(f"{stack.url}/rollout", json=body, timeout=60)
        trajectory = stack.simulator.trajectory(JOB_ARN, "f")
    assert again.json()["reward"] == 1.0
    assert trajectory.state == "rewarded"
    assert len(trajectory.turns) == 2


def test_out_of_time_is_504_and_the_trainer_knows():
    release = threading.Event()

    def never(asked):
        release.wait(10)
        return gold(asked)

    with EmulatedStack(
        never, environ={"ROLLOUT_INLINE_BUDGET": "2", "ROLLOUT_REPORT_MARGIN": "1.5"}
    ) as stack:
        answer = httpx.post(f"{stack.url}/rollout", json=stack.request("f", ROW), timeout=60)
        document = problem(answer, 504, "out-of-time")
        assert document["result"]["status"] == "failed"
        assert stack.simulator.trajectory(JOB_ARN, "f").state == "failed"
        release.set()


def test_a_trajectory_the_trainer_closed_is_told_apart():
    with EmulatedStack(gold) as stack:
        body = stack.request("f", ROW)

        def closing(asked):
            if asked.turn == 1:
                threading.Timer(
                    0.05,
                    lambda: setattr(stack.simulator.trajectory(JOB_ARN, "f"), "state", "failed"),
                ).start()
            return gold(asked)

        stack.simulator.faults = parse_faults("CompleteRollout@1:delay=0.3")
        stack.simulator.policy = closing
        answer = httpx.post(f"{stack.url}/rollout", json=body, timeout=60).json()
    assert answer["status"] == "failed"
    assert answer["error"]["boundary"] == "trainer"


@pytest.mark.parametrize("agent", ["environments.absent:run", "nonsense"])
def test_unhealthy_when_the_agent_does_not_load(agent):
    with EmulatedStack(gold, agent=agent) as stack:
        answer = httpx.get(f"{stack.url}/health")
        problem(answer, 503, "agent-unavailable")
        body = stack.request("f", ROW)
        problem(httpx.post(f"{stack.url}/rollout", json=body), 503, "agent-unavailable")
        # Nothing was accepted: the row does not exist.
        state = httpx.get(f"{stack.url}/rollouts/f", params={"job_arn": JOB_ARN})
        problem(state, 404, "not-found")


def test_storage_that_does_not_answer_is_503_and_nothing_is_played():
    with EmulatedStack(gold) as stack:
        boto3.client("dynamodb", "us-west-2", endpoint_url=stack.aws_url).delete_table(
            TableName=stack.table
        )
        answer = httpx.post(f"{stack.url}/rollout", json=stack.request("f", ROW), timeout=60)
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
        assert stack.simulator.trajectory(JOB_ARN, "f").turns == []
