"""What a turn sends is the conversation as it is now, whatever of it was written before."""

from __future__ import annotations

import json

import pytest

from rollout.errors import AgentError
from tests.building import ScriptedPolicy, completion, make_episode


class Name(str):  # not a value that can be marked
    __slots__ = ()


def sent_twice(first, change):
    """The bodies of two turns on one list of messages, changed in place between them."""
    policy = ScriptedPolicy(completion("a"), completion("b"))
    episode = make_episode(policy)
    messages = [{"role": "user", "content": "hi"}, first]
    episode.sample(messages)
    change(messages)
    episode.sample(messages)
    return policy.requests, episode.transcript


@pytest.mark.parametrize(
    ("first", "later"), [(True, 1), (1, 1.0), (0.0, -0.0), ("a", "b"), (["a"], {"a": "a"})]
)
def test_a_message_changed_in_place_is_sent_as_it_is_now(first, later):
    def change(messages):
        messages[1]["extra"] = later

    requests, transcript = sent_twice({"role": "user", "extra": first}, change)
    assert json.dumps(requests[0]["messages"][1]["extra"]) == json.dumps(first)
    assert json.dumps(requests[1]["messages"][1]["extra"]) == json.dumps(later)
    assert [turn.repeated for turn in transcript] == [0, 1]


def test_an_unchanged_conversation_is_known_and_repeated_whole():
    requests, transcript = sent_twice(
        {"role": Name("user"), "content": "x"},
        lambda messages: messages.append({"role": "user", "content": "y"}),
    )
    assert requests[1]["messages"][:2] == requests[0]["messages"]
    assert [turn.repeated for turn in transcript] == [0, 2]


def test_a_message_inserted_before_others_moves_them():
    requests, _ = sent_twice(
        {"role": "user", "content": "x"},
        lambda messages: messages.insert(0, {"role": "system", "content": "s"}),
    )
    assert [m["content"] for m in requests[1]["messages"]] == ["s", "hi", "x"]


def test_a_known_message_that_became_unwritable_is_refused():
    def change(messages):
        messages[1]["content"] = float("nan")

    with pytest.raises(AgentError, match="cannot be written as JSON"):
        sent_twice({"role": "user", "content": "x"}, change)
