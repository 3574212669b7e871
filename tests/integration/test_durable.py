"""Long rollouts over HTTP, through AWS's local durable runner."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from devkit.emulator.faults import parse_faults
from devkit.emulator.gateway import LambdaContext, environment_of
from devkit.emulator.lambda_service import InProcess
from devkit.emulator.stack import HANDLERS, JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from rollout.settings import settings
from rollout.storage.drain import switch
from rollout.storage.records import Records

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
ASYNC = {"Prefer": "respond-async"}
ENDED = ("ready", "failed")


def gold(asked):
    return calculator.gold(asked.instance, asked.messages)


@pytest.fixture(params=["here", "process"])
def stack(tmp_path, request):
    durable = True if request.param == "here" else tmp_path / "durable"
    with EmulatedStack(gold, durable=durable) as running:
        yield running


def post(stack, trajectory_id, instance=ROW, headers=ASYNC, **changes):
    body = {**stack.request(trajectory_id, instance), **changes}
    return httpx.post(f"{stack.url}/rollout", json=body, headers=headers, timeout=60)


def ended(stack, trajectory_id, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        url = f"{stack.url}/rollouts/{trajectory_id}"
        state = httpx.get(url, params={"job_arn": JOB_ARN}, timeout=10).json()
        if state.get("state") in ENDED:
            return state
        time.sleep(0.05)
    raise AssertionError(f"{trajectory_id} has not ended: {state}")


def test_an_asynchronous_rollout_is_accepted_and_played(stack):
    answer = post(stack, "t-1")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"].startswith("/rollouts/t-1?job_arn=")
    assert httpx.get(stack.url + answer.headers["location"]).status_code == 200
    state = ended(stack, "t-1")
    assert state["result"]["reward"] == 1.0
    trajectory = stack.simulator.trajectory(JOB_ARN, "t-1")
    assert trajectory.state == "rewarded"
    assert len(trajectory.turns) == state["result"]["turns"] == 2


def test_a_repeat_gets_the_same_answer_and_starts_nothing(stack):
    first, second = post(stack, "t-1"), post(stack, "t-1")
    ended(stack, "t-1")
    third = post(stack, "t-1")
    for repeat in (second, third):
        assert repeat.status_code == 202
        assert repeat.headers["location"] == first.headers["location"]
        assert repeat.json() == first.json()
    assert stack.service.starts == 1
    other = post(stack, "t-1", inference_params={"temperature": 0.5})
    assert other.status_code == 409


def test_a_refused_start_accepts_nothing(stack):
    stack.service.refuse_starts = 100
    answer = post(stack, "t-1")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert httpx.get(f"{stack.url}/rollouts/t-1", params={"job_arn": JOB_ARN}).status_code == 404
    stack.service.refuse_starts = 0
    assert post(stack, "t-1").status_code == 202
    assert ended(stack, "t-1")["state"] == "ready"


def test_the_preference_is_read_as_rfc_7240_writes_it(stack):
    assert post(stack, "t-1", headers={"Prefer": "wait=5, Respond-Async"}).status_code == 202
    assert post(stack, "t-2", headers={"Prefer": "return=minimal"}).status_code == 200


def test_an_inline_repeat_of_a_running_rollout_waits(tmp_path):
    def slow(asked):
        time.sleep(1)
        return gold(asked)

    with EmulatedStack(slow, durable=tmp_path) as stack:
        assert post(stack, "t-1").status_code == 202
        answer = post(stack, "t-1", headers={})
        assert answer.status_code == 409
        assert "retry-after" in answer.headers
        ended(stack, "t-1")
        assert post(stack, "t-1", headers={}).json()["reward"] == 1.0


def test_a_large_instance_and_large_replies_go_through_the_bucket(tmp_path):
    def wordy(asked):
        return {"content": "ä" * 300_000 + " 5"}

    with EmulatedStack(wordy, durable=tmp_path) as stack:
        row = {**ROW, "padding": "x" * 600_000}
        assert post(stack, "t-1", row).status_code == 202
        state = ended(stack, "t-1")
        assert state["result"]["reward"] == 1.0
        assert len(stack.simulator.trajectory(JOB_ARN, "t-1").turns) == 1


def test_a_trainer_outage_is_outlived(tmp_path):
    faults = parse_faults("UpdateReward@1:status=503,UpdateReward@2:drop-after")
    with EmulatedStack(gold, durable=tmp_path, faults=faults) as stack:
        post(stack, "t-1")
        assert ended(stack, "t-1")["state"] == "ready"
        trajectory = stack.simulator.trajectory(JOB_ARN, "t-1")
        assert trajectory.rewards == [1.0]
        assert [r.operation for r in trajectory.reports].count("CompleteRollout") == 1


def played(stack):
    """Play one rollout on a stack of its own; its state and its captured turns."""
    with stack:
        post(stack, "t-1")
        state = ended(stack, "t-1")
        return state, stack.simulator.trajectory(JOB_ARN, "t-1").turns


def short_invocations(agent, tmp_path, seconds=12.0, **more):
    """A stack whose worker has little more than a second of work in each invocation."""
    invocations = []
    worker = InProcess(environment_of(HANDLERS / "worker.py"), timeout=seconds)

    def invoke(event):
        invocations.append(time.time())
        return worker(event)

    def slow(asked):
        time.sleep(0.25)
        return {"content": "5"}

    environ = {"ROLLOUT_SAMPLE_TIMEOUT": "1", **more}
    stack = EmulatedStack(
        slow, durable=tmp_path, invoke=invoke, environ=environ, agent=f"tests.playing:{agent}"
    )
    return stack, invocations


def test_a_rollout_spans_several_invocations(tmp_path):
    stack, invocations = short_invocations("twelve_turns", tmp_path)
    state, turns = played(stack)
    assert len(invocations) >= 3
    assert (state["state"], state["result"]["turns"], len(turns)) == ("ready", 12, 12)
    said = [turn.request["messages"][0]["content"] for turn in turns]
    assert said == [f"turn {n}" for n in range(12)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("agent", ["through_openai", "through_strands", "through_base_url"])
def test_a_framework_is_suspended_and_replayed_too(agent, tmp_path):
    stack, invocations = short_invocations(agent, tmp_path)
    state, turns = played(stack)
    assert len(invocations) >= 3
    assert (state["state"], len(turns)) == ("ready", 12), state


@pytest.mark.parametrize(
    ("agent", "place"), [("fickle", "turn 1"), ("forgetful", "ended after turn 2")]
)
def test_an_agent_that_does_not_replay_the_same_way_is_found_out(agent, place, tmp_path):
    # More than two turns of the six go into an invocation, and not all of them, on a busy machine too.
    stack, _ = short_invocations(agent, tmp_path, seconds=12.3)
    with stack:
        post(stack, "t-1")
        state = ended(stack, "t-1")
        trajectory = stack.simulator.trajectory(JOB_ARN, "t-1")
    error = state["result"]["error"]
    assert (state["state"], error["boundary"]) == ("failed", "agent")
    assert error["type"].endswith("replay-mismatch")
    assert place in error["detail"]
    assert trajectory.state == "failed"
    assert len(trajectory.turns) < 6


def test_a_step_of_the_agent_is_made_once(tmp_path):
    stack, invocations = short_invocations("stepping", tmp_path, seconds=11.5)  # half a second
    state, turns = played(stack)
    assert len(invocations) >= 2
    number = int(state["result"]["metrics"]["ticket"])
    assert all(f"ticket {number} " in t.request["messages"][0]["content"] for t in turns)


def test_an_agent_that_cannot_replay_is_one_step(tmp_path):
    with EmulatedStack(gold, durable=tmp_path, agent="tests.playing:unrepeatable") as stack:
        post(stack, "t-1")
        state = ended(stack, "t-1")
        assert (state["result"]["reward"], state["result"]["turns"]) == (0.5, 2)


def test_at_the_deadline_what_was_reached_is_graded_and_reported_in_time(tmp_path):
    stack, invocations = short_invocations(
        "tireless", tmp_path, ROLLOUT_JOB_TIMEOUT="10", ROLLOUT_JOB_MARGIN="5",
        ROLLOUT_MAX_TURNS="1000",
    )  # fmt: skip
    with stack:
        began = time.time()
        post(stack, "t-1")
        state = ended(stack, "t-1")
        reports = stack.simulator.trajectory(JOB_ARN, "t-1").reports
    assert state["result"]["reward"] == 1.0
    assert state["result"]["turns"] > 2
    assert 4.5 < reports[-1].at - began < 10
    assert len(invocations) > 1


def test_the_runner_is_killed_and_goes_on(tmp_path):
    def slow(asked):
        time.sleep(0.4)
        return {"content": "5"}

    with EmulatedStack(slow, durable=tmp_path, agent="tests.playing:twelve_turns") as stack:
        for n in range(4):
            post(stack, f"t-{n}")
        time.sleep(1.5)
        stack.service.kill_runner()
        time.sleep(1)
        stack.service.start_runner()
        for n in range(4):
            state = ended(stack, f"t-{n}")
            turns = stack.simulator.trajectory(JOB_ARN, f"t-{n}").turns
            said = [turn.request["messages"][0]["content"] for turn in turns]
            assert said == [f"turn {i}" for i in range(len(said))]  # none twice
            if state["state"] == "failed":  # the kill fell into a Sample
                assert state["result"]["error"]["type"].endswith("sample-interrupted")


def test_an_execution_that_dies_is_closed_once(tmp_path):
    def broken(event):
        raise RuntimeError

    with EmulatedStack(gold, durable=tmp_path, invoke=broken, backoff=0) as stack:
        post(stack, "t-1")
        state = ended(stack, "t-1")
        trajectory = stack.simulator.trajectory(JOB_ARN, "t-1")
    assert state["state"] == trajectory.state == "failed"
    assert state["result"]["error"]["boundary"] == "platform"
    assert "execution that played this rollout failed" in state["result"]["error"]["detail"]
    assert [r.operation for r in trajectory.reports] == ["CompleteRollout"]


def test_draining_refuses_new_rollouts(tmp_path):
    with EmulatedStack(gold, durable=tmp_path) as stack:
        switch(settings(), on=True)
        switch(settings(), on=True)
        for headers in ({}, ASYNC):
            answer = post(stack, "t-1", headers=headers)
            assert answer.status_code == 503
            assert answer.json()["type"].endswith("draining")
            assert int(answer.headers["retry-after"]) > 0
        switch(settings(), on=False)
        assert [post(stack, "t-1", headers=headers).status_code for headers in ({}, ASYNC)] == [
            200,
            202,
        ]


def test_no_more_run_at_once_than_allowed(tmp_path):
    environ = {"ROLLOUT_MAX_RUNNING": "2"}

    def slow(asked):
        time.sleep(2)
        return gold(asked)

    with EmulatedStack(slow, durable=tmp_path, environ=environ) as stack:
        assert [post(stack, f"t-{n}").status_code for n in range(3)] == [202, 202, 429]
        assert post(stack, "t-0").status_code == 202  # a repeat is never refused
        ended(stack, "t-0")
        ended(stack, "t-1")
        assert post(stack, "t-2").status_code == 202


# --- a job's invocation ------------------------------------------------------------------------------


def job_event(stack, trajectory_id, **changes):
    stack.request(trajectory_id, ROW)
    return {
        "prompt": json.dumps(ROW),
        "metadata": {
            "jobArn": JOB_ARN,
            "rolloutId": trajectory_id,
            "endpoint": stack.simulator.url,
        },
        "inferenceParams": {"temperature": 1.0, "topP": 1.0, "maxTokens": 512},
        **changes,
    }


def invoke_job(event):
    return environment_of(HANDLERS / "job.py")()(event, LambdaContext(function_name="job"))


def test_a_job_invokes_directly(stack):
    url = f"{stack.service.url}/2015-03-31/functions/job/invocations"
    assert httpx.post(url, json=job_event(stack, "t-1"), timeout=60).json() == {}
    assert ended(stack, "t-1")["result"]["reward"] == 1.0
    sent = stack.simulator.trajectory(JOB_ARN, "t-1").turns[0].request
    assert (sent["temperature"], sent["max_tokens"], sent["top_p"]) == (1.0, 512, 1.0)
    assert invoke_job(job_event(stack, "t-1")) == {}
    assert invoke_job({"body": json.dumps(job_event(stack, "t-2"))}) == {}
    assert ended(stack, "t-2")["state"] == "ready"


def test_a_job_without_an_endpoint_uses_the_setting(tmp_path):
    with EmulatedStack(gold, durable=tmp_path) as stack:
        settings.cache_clear()
        import os

        os.environ["ROLLOUT_JOB_ENDPOINT"] = stack.simulator.url
        event = job_event(stack, "t-1")
        del event["metadata"]["endpoint"]
        assert invoke_job(event) == {}
        assert ended(stack, "t-1")["state"] == "ready"


def test_a_throttled_job_reads_a_document_and_nothing_is_accepted(stack):
    stack.service.refuse_starts = 100
    answer = invoke_job(job_event(stack, "t-1"))
    assert answer["errorType"] == "Throttling"
    assert httpx.get(f"{stack.url}/rollouts/t-1", params={"job_arn": JOB_ARN}).status_code == 404


# --- the sweep --------------------------------------------------------------------------------------


def sweep():
    return environment_of(HANDLERS / "sweep.py")()({}, LambdaContext(timeout=300))


def make_due(stack, trajectory_id):
    from rollout.aws import clients

    key = {"pk": {"S": f"rollout#{JOB_ARN}#{trajectory_id}"}, "sk": {"S": "rollout"}}
    clients.client("dynamodb", settings().region).update_item(
        TableName=stack.table,
        Key=key,
        UpdateExpression="SET due_at = :d",
        ExpressionAttributeValues={":d": {"S": "2020-01-01T00:00:00.000+00:00"}},
    )


def test_the_sweep_starts_what_was_accepted_and_never_began(stack):
    from rollout.contract import validate_rollout
    from rollout.results import Rollout
    from rollout.trust import check

    request = validate_rollout(stack.request("t-1", ROW))
    rollout = Rollout.of(request, check(request, settings()))
    Records(settings()).accept_durable(rollout, entry_point="api")
    assert sweep()["started"] == 0  # not due yet
    make_due(stack, "t-1")
    assert sweep()["started"] == 1
    assert ended(stack, "t-1")["result"]["reward"] == 1.0
    assert sweep() == {"started": 0, "delivered": 0, "closed": 0, "left": 0}


def test_the_sweep_delivers_a_reward_that_was_computed(tmp_path):
    faults = parse_faults("UpdateReward:status=503")
    with EmulatedStack(
        gold, faults=faults, environ={"ROLLOUT_INLINE_BUDGET": "3", "ROLLOUT_REPORT_MARGIN": "1"}
    ) as stack:
        assert post(stack, "t-1", headers={}).status_code == 503
        assert stack.simulator.trajectory(JOB_ARN, "t-1").rewards is None
        stack.simulator.faults.faults.clear()
        make_due(stack, "t-1")
        assert sweep()["delivered"] == 1
        assert stack.simulator.trajectory(JOB_ARN, "t-1").rewards == [1.0]
        assert ended(stack, "t-1")["state"] == "ready"


@pytest.mark.parametrize("agent", ["unrepeatable", "twelve_turns"])
def test_sampling_begins_only_once_that_is_written(agent, tmp_path, monkeypatch):
    from rollout.errors import Unavailable
    from rollout.storage.record import Lease

    failures = iter([Unavailable("storage is away"), None, None])
    written = Lease.sampling

    def flaky(self):
        if (error := next(failures, None)) is not None:
            raise error
        written(self)

    monkeypatch.setattr(Lease, "sampling", flaky)
    environ = {"ROLLOUT_MAX_TURNS": "12"}
    with EmulatedStack(
        gold, durable=tmp_path, agent=f"tests.playing:{agent}", environ=environ
    ) as stack:
        post(stack, "t-1")
        state = ended(stack, "t-1")
        turns = stack.simulator.trajectory(JOB_ARN, "t-1").turns
    if agent == "twelve_turns":
        assert (state["state"], len(turns)) == ("ready", 12)
    else:  # one step cannot wait for another invocation
        assert (state["state"], turns) == ("failed", [])
        assert state["result"]["error"]["boundary"] == "platform"
        assert state["result"]["error"]["detail"] == "storage is away"
