"""Rounding is not spread, and a framework's null fields are no other message."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as some

from devkit.rehearsal.counts import Group
from devkit.rehearsal.run_files import RolloutRecord, TurnRecord
from devkit.rehearsal.trainer_rows import advantage, exported, is_linear
from rollout.results import Result
from rollout.rewards import all_same, same_reward
from rollout.storage.totals import TotalsWriter
from tests.building import make_settings, tool_call


def group(*rewards):
    return Group(played=len(rewards), rewards=array("d", rewards))


@pytest.mark.parametrize(
    "rewards", [(0.6, 0.1 + 0.5, 0.6000000000000001), (1.0, 1.0 + 9e-10), (0.1 + 0.2, 0.3)]
)
def test_rewards_that_differ_by_rounding_are_equal_everywhere(rewards):
    assert all_same(rewards)
    assert group(*rewards).flat
    assert [advantage(reward, group(*rewards)) for reward in rewards] == [0.0] * len(rewards)


def test_rewards_that_differ_have_spread():
    assert not group(0.6, 0.60001).flat
    assert not same_reward(1.0, 1.0 + 1e-8)
    assert not same_reward(
        1e6, 1e6 + 1e-4
    )  # rounding does not grow with a reward by more than its bits
    assert same_reward(1e9, 1e9 + 2e-7)
    assert advantage(1.0, group(1.0, 0.0)) == pytest.approx(0.7071, abs=1e-4)


@given(some.integers(0, 2_000_001))
def test_the_totals_round_two_equal_rewards_to_one(millionths):
    totals = object.__new__(TotalsWriter)
    totals._settings = make_settings()
    reward = millionths / 2_000_000

    def micro(value):
        return totals._amounts(Result(status="ready", rewards=[value]), None)["reward_sum"]

    assert micro(reward) == micro(reward + 1e-15)


def record(*turns):
    return RolloutRecord.model_construct(
        turns=[TurnRecord.model_construct(**turn) for turn in turns]
    )


def test_a_reply_that_a_framework_sends_back_with_null_fields_goes_on():
    call = tool_call("add", '{"left":1}', "a")
    reply = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call],
        "refusal": None,
        "audio": None,
    }
    back = {
        "role": "assistant",
        "content": [],
        "tool_calls": [tool_call("add", '{"left": 1}', "a")],
    }
    answer = {"role": "tool", "tool_call_id": "a", "content": "2"}
    user = {"role": "user", "content": "hi"}
    done = {"role": "assistant", "content": "2"}
    first = {"messages": [user], "repeated": 0, "message": reply}
    assert is_linear(record(first, {"messages": [back, answer], "repeated": 1, "message": done}))
    other = {**back, "tool_calls": [tool_call("add", '{"left": 2}', "a")]}
    assert not is_linear(
        record(first, {"messages": [other, answer], "repeated": 1, "message": done})
    )
    text = {"role": "assistant", "content": "hm", "refusal": None}
    parts = {"role": "assistant", "content": [{"type": "text", "text": "hm"}]}
    first = {"messages": [user], "repeated": 0, "message": text}
    assert is_linear(record(first, {"messages": [parts, user], "repeated": 1, "message": done}))


def test_arguments_are_exported_as_objects():
    message = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [tool_call("add", {"left": 1}, "a")],
    }
    made = exported(message)
    assert made["tool_calls"][0]["function"] == {"name": "add", "arguments": {"left": 1}}
    assert "refusal" not in made
