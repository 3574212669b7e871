from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from rollout.agent import Outcome
from rollout.errors import (
    BadReply,
    ContractViolation,
    OutOfTime,
    ReportRefused,
    ReportUndelivered,
    SampleFailed,
    ToolBroken,
    rebuild,
)
from rollout.rewards import shape_rewards
from tests.building import ScriptedPolicy, completion, make_rollout, tool_call
from tests.running import Trainer, ask, played


def test_the_result_is_recorded_before_it_is_reported_and_the_report_after():
    _, _, trainer = played(ask, completion("0.5"))
    assert trainer.heard == [
        ("scored", [0.5]),
        ("complete", "ready"),
        ("reward", [0.5]),
        ("reported", "delivered"),
    ]


def test_an_async_agent_plays():
    async def run_async(episode):
        await asyncio.sleep(0)
        return ask(episode)

    assert played(run_async, completion("1"))[0].rewards == [1.0]


def test_the_trainers_parameters_win():
    from rollout.contract import InferenceParams

    rollout = make_rollout()
    rollout.request.inference_params = InferenceParams(temperature=1.0, max_tokens=9)
    policy = ScriptedPolicy(completion("1"))
    played(
        lambda e: e.sample([], temperature=0.0, stop=["x"]) and 1.0, rollout=rollout, policy=policy
    )
    assert policy.requests == [
        {"messages": [], "temperature": 1.0, "stop": ["x"], "max_tokens": 9, "model": "default"}
    ]


@pytest.mark.parametrize(
    ("function", "lines", "boundary", "slug"),
    [
        (lambda e: 1 / 0, [], "agent", "agent-raised"),
        (lambda e: 1.0, [], "agent", "never-sampled"),
        (lambda e: ask(e) and "good", [completion("1")], "agent", "bad-reward"),
        (lambda e: ask(e) and [1.0, 2.0], [completion("1")], "agent", "bad-reward"),
        (
            lambda e: ask(e) and Outcome(1, output=object()),
            [completion("1")],
            "agent",
            "agent-error",
        ),
        (lambda e: e.sample([{"x": float("nan")}]), [], "agent", "agent-error"),
        (lambda e: e.sample([{"x": "\ud800"}]), [], "agent", "agent-error"),
        (ask, [SampleFailed("gone", captured="unknown")], "policy", "sample-failed"),
        (ask, [b"nonsense"], "policy", "bad-reply"),
        (ask, [{"choices": []}], "policy", "bad-reply"),
    ],
)
def test_a_failure_is_a_result_that_names_its_boundary(function, lines, boundary, slug):
    result, _, trainer = played(function, *lines)
    assert result.failure.boundary == boundary
    assert result.failure.slug == slug
    assert trainer.heard == [("scored", None), ("complete", "failed"), ("reported", "delivered")]


def test_the_agents_own_words_stay_out_of_the_error():
    result, _, _ = played(lambda e: {}["the secret answer"])
    assert "secret" not in result.failure.detail
    assert "test_run.py:" in result.failure.detail


@pytest.mark.parametrize(
    ("policy", "turns", "status", "rewards"),
    [
        ("report-failed", 1, "failed", None),
        ("agent=floor:-1", 1, "ready", [-1.0]),
        ("agent=floor:-1", 0, "failed", None),
        ("tool=floor:-1", 1, "failed", None),
    ],
)
def test_failure_policy(policy, turns, status, rewards):
    def fail(episode):
        for _ in range(turns):
            ask(episode)
        raise RuntimeError

    result, _, _ = played(fail, *[completion("1")] * turns, failure_policy=policy)
    assert (result.status, result.rewards) == (status, rewards)
    assert result.failure.boundary == "agent"


def test_an_agent_that_hangs_is_reported_in_time():
    release = threading.Event()
    began = time.monotonic()
    result, _, trainer = played(lambda e: ask(e) and release.wait(30), completion("1"), seconds=0.2)
    release.set()
    assert time.monotonic() - began < 5
    assert result.failure.slug == "out-of-time"
    assert ("complete", "failed") in trainer.heard


def test_an_agent_left_running_cannot_sample_a_sealed_trajectory():
    late = []
    done = threading.Event()

    def slow(episode):
        time.sleep(0.3)
        try:
            ask(episode)
        except OutOfTime as error:
            late.append(error)
        done.set()

    played(slow, completion("1"), seconds=0.1)
    assert done.wait(5)
    assert len(late) == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("max_turns", "2"), ("max_tokens", "10"), ("max_tool_calls", "1")]
)
def test_budgets_end_the_episode_and_can_be_caught(setting, value):
    def add(a: int, b: int) -> int:
        return a + b

    def greedy(episode):
        try:
            episode.converse("go", tools=[add])
        except Exception as error:  # noqa: BLE001
            return Outcome(0.25, output=type(error).__name__)

    call = completion(tool_calls=[tool_call("add", {"a": 1, "b": 2})])
    result, _, _ = played(greedy, *[call] * 5, **{setting: value})
    assert result.output == "BudgetSpent"
    assert result.rewards == [0.25]
    assert result.turns == 2


def test_a_conversation_calls_tools_and_returns_their_errors_to_the_model():
    def add(a: int, b: int) -> int:
        return a + b

    policy = ScriptedPolicy(
        completion(tool_calls=[tool_call("add", {"a": 1, "b": 2}), tool_call("add", "{", "c2")]),
        completion(tool_calls=[tool_call("subtract", {}, "c3")]),
        completion("3"),
    )
    captured = []

    def agent(episode):
        reply = episode.converse("1+2?", tools=[add], system="Add.")
        captured.extend(episode.transcript)
        return float(reply.text)

    result, _, _ = played(agent, policy=policy)
    assert result.rewards == [3.0]
    assert result.metrics == {"tool_calls": 3, "tool_errors": 2}
    said = [m["content"] for m in policy.requests[2]["messages"] if m["role"] == "tool"]
    assert said[0] == "3"
    assert said[1].startswith("Error: invalid arguments")
    assert said[2].startswith("Error: there is no tool")
    # Each turn keeps only what it added, and together they are the conversation.
    assert [turn.repeated for turn in captured] == [0, 2, 5]
    kept = [message for turn in captured for message in turn.messages]
    assert kept == policy.requests[2]["messages"]


def test_a_broken_tool_fails_the_rollout_and_is_no_text():
    def lookup(key: str) -> str:
        raise ConnectionError("secret host")

    call = completion(tool_calls=[tool_call("lookup", {"key": "x"})])
    result, _, _ = played(lambda e: e.converse("go", tools=[lookup]), call)
    assert result.failure.boundary == "tool"
    assert "secret" not in result.failure.detail
    assert result.failure.slug == ToolBroken.slug


@pytest.mark.parametrize(
    ("answers", "delivery", "heard"),
    [
        ([ReportUndelivered("500", retry_after=0)] * 2, "delivered", ["complete"] * 3 + ["reward"]),
        (
            [None, ReportUndelivered("500", retry_after=0)],
            "delivered",
            ["complete", "reward", "reward"],
        ),
        ([ReportRefused("409"), ReportRefused("409")], "refused", ["complete", "reward"]),
        ([None, ReportRefused("404")], "refused", ["complete", "reward"]),
        ([None, ReportUndelivered("429", retry_after=9)], "pending", ["complete", "reward"]),
    ],
)
def test_completion_and_reward_are_repeated_on_their_own(answers, delivery, heard):
    _, report, trainer = played(ask, completion("1"), trainer=Trainer(*answers), retry_seconds=5)
    assert report.delivery == delivery
    assert [what for what, _ in trainer.heard if what in ("complete", "reward")] == heard
    assert trainer.heard[-1] == ("reported", delivery)


def test_a_turn_that_is_possibly_captured_forbids_another_play():
    assert not played(ask, SampleFailed("reset", captured="unknown"))[0].untouched
    assert played(ask, SampleFailed("refused", captured="no"))[0].untouched
    assert not played(ask, BadReply("late"))[0].untouched


def test_a_number_out_of_range_is_the_callers_fault():
    with pytest.raises(ContractViolation):
        make_rollout(instance={"x": float("inf")})


def test_a_group_is_the_same_instance_in_any_key_order():
    one = make_rollout(instance={"a": 1, "b": 2}, trajectory_id="t1")
    two = make_rollout(instance={"b": 2, "a": 1}, trajectory_id="t2")
    assert one.group == two.group
    assert one.fingerprint != two.fingerprint


def test_random_is_seeded_by_the_trajectory():
    def roll(episode):
        ask(episode)
        return episode.random.random()

    first, again = (played(roll, completion("1"))[0].rewards for _ in range(2))
    other = played(roll, completion("1"), rollout=make_rollout(trajectory_id="t-2"))[0].rewards
    assert first == again != other


@pytest.mark.parametrize(
    ("shape", "sent"),
    [("single", [2.0]), ("last-turn", [0.0, 0.0, 2.0]), ("every-turn", [2 / 3] * 3)],
)
def test_reward_shapes(shape, sent):
    assert shape_rewards(2.0, 3, shape, "a:b") == sent
    assert shape_rewards([1.0, 2.0, 3.0], 3, shape, "a:b") == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("shape", ["single", "last-turn", "every-turn"])
@pytest.mark.parametrize("reward", [1.0, 0.3, -2.0, 0.0])
def test_no_shape_changes_what_is_best(shape, reward):
    """A win in three turns was paid three times that in one."""
    for turns in (1, 2, 3, 7, 50):
        assert sum(shape_rewards(reward, turns, shape, "a:b")) == pytest.approx(reward, abs=1e-12)


@pytest.mark.parametrize(
    "error",
    [
        SampleFailed("cut off", captured="unknown", retry_after=3),
        OutOfTime("late"),
        ContractViolation("wrong", errors=[{"field": "a"}]),
    ],
)
def test_a_recorded_error_comes_back_as_it_was(error):
    again = rebuild(json.loads(json.dumps(error.record())))
    assert type(again) is type(error)
    assert (again.detail, again.retry_after, again.facts) == (
        error.detail,
        error.retry_after,
        error.facts,
    )
    assert getattr(again, "captured", None) == getattr(error, "captured", None)
