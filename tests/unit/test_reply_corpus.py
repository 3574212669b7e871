"""Replies as the servers in use write them, each with its one right reading; and every way to cut one.

``tests/replies/SERVER.json`` holds cases: a ``body``, a ``stream`` (lines) or raw ``text``, and what it
``reads`` as, or that it ``fails``. They were written here after the servers' documentation and bug reports.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rollout.contract import InferenceParams
from rollout.errors import BadReply, RolloutError
from rollout.reply import arguments_of, normal, read_reply, sendable
from tests.building import ROOT, ScriptedPolicy, completion, make_episode, tool_call
from tests.running import ask, played

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted((ROOT / "tests/replies").glob("*.json"))
    for case in json.loads(path.read_text())
]
STREAMS = [case for case in CASES if "stream" in case.values[0]]


def written(case):
    if "body" in case:
        return json.dumps(case["body"]).encode()
    if "text" in case:
        return case["text"].encode()
    newline = case.get("newline", "\n")
    return (newline.join(case["stream"]) + newline).encode()


def reading(data, tools=()):
    reply = read_reply(data, tools)
    return reply, {
        "text": reply.text,
        "thoughts": reply.thoughts,
        "calls": [[call.name, arguments_of(call.arguments)] for call in reply.tool_calls],
        "ids": [call.id for call in reply.tool_calls],
        "finish_reason": reply.finish_reason,
        "usage": reply.usage,
        "sent_back": reply.message,
    }


@pytest.mark.parametrize("case", CASES)
def test_a_servers_reply_has_one_reading(case):
    data, tools = written(case), case.get("tools", ())
    if case.get("fails"):
        with pytest.raises(BadReply):
            read_reply(data, tools)
        return
    reply, found = reading(data, tools)
    assert {key: found[key] for key in case["reads"]} == case["reads"]
    hold_to_strict_server([reply.message, *answers(reply)])
    assert sendable(reply.message) == reply.message
    assert normal(reply.raw["choices"][0]["message"]).keys() >= normal({"role": "assistant"}).keys()


def answers(reply):
    return [{"role": "tool", "tool_call_id": call.id, "content": "3"} for call in reply.tool_calls]


def hold_to_strict_server(messages):
    """What the strictest of the servers ask of a conversation."""
    for message in messages:
        if message["role"] != "assistant":
            continue
        assert set(message) <= {
            "role", "content", "tool_calls", "refusal", "reasoning_content", "reasoning",
            "reasoning_details", "thinking_blocks",
        }  # fmt: skip
        assert None not in [value for key, value in message.items() if key != "content"]
        calls = message.get("tool_calls", [])
        assert calls or message["content"] is not None
        assert message.get("tool_calls") != []
        identifiers = [call["id"] for call in calls]
        assert all(identifiers)
        assert len(set(identifiers)) == len(identifiers)
        for call in calls:
            assert call["type"] == "function"
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
        following = messages[messages.index(message) + 1 :][: len(calls)]
        assert [m.get("tool_call_id") for m in following] == identifiers


@pytest.mark.parametrize("case", STREAMS)
@settings(max_examples=15, deadline=None)
@given(data=some.data())
def test_a_stream_that_is_cut_anywhere_reads_as_it_should_or_fails(case, data):
    whole = written(case)
    cut = data.draw(some.integers(0, max(0, len(whole) - 1)))
    try:
        _, found = reading(whole[:cut], case.get("tools", ()))
    except BadReply:
        return
    assert not case.get("fails")
    expected = reading(whole, case.get("tools", ()))[1]
    for key in ("text", "thoughts", "finish_reason"):
        assert found[key] == expected[key]
    assert found["calls"] == expected["calls"]


_TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=30)
_ARGUMENTS = some.dictionaries(some.sampled_from(["a", "b"]), _TEXT | some.integers(), max_size=2)
_CALLS = some.lists(
    some.tuples(some.sampled_from(["add", "now", "get_weather"]), _ARGUMENTS), max_size=4
)


def pieces(draw, text):
    cuts = sorted(draw(some.lists(some.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=200, deadline=None)
@given(content=_TEXT, calls=_CALLS, data=some.data(),
       dialect=some.sampled_from(["openai", "no index", "index 0", "all repeated", "no ids"]))  # fmt: skip
def test_any_chunking_of_a_stream_in_any_dialect_reads_the_same(content, calls, dialect, data):
    deltas = [{"content": piece} for piece in pieces(data.draw, content)]
    for place, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        cut = pieces(data.draw, text) if dialect != "no ids" else [text]
        for first, piece in [(True, cut[0]), *((False, later) for later in cut[1:])]:
            part = {"function": {"arguments": piece}}
            if dialect in ("openai", "all repeated"):
                part["index"] = place
            if dialect == "index 0":
                part["index"] = 0
            if (first or dialect == "all repeated") and dialect != "no ids":
                part["id"] = f"c{place}"
            if first or dialect == "all repeated":
                part["function"]["name"] = name
            deltas.append({"tool_calls": [part]})
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    separator = data.draw(some.sampled_from(["\n\n", "\r\n\r\n", "\n", "\n: ping\n\n"]))
    stream = "".join(f"data: {json.dumps(chunk)}{separator}" for chunk in chunks)
    _, found = reading(stream.encode(), ["add", "now", "get_weather"])
    assert found["calls"] == [[name, arguments] for name, arguments in calls]
    whole = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    assert found["text"] == reading(json.dumps(whole).encode())[1]["text"]


def test_a_turn_that_failed_behind_a_200_is_the_policys_and_never_a_reward():
    for body in (
        {"error": {"message": "down"}},
        {"choices": [{"message": {"content": "#### 2"}, "finish_reason": "abort"}]},
    ):
        result, _, trainer = played(ask, body)
        assert (result.failure.boundary, result.rewards) == ("policy", None)
        assert not result.untouched  # the platform may have stored it
        assert ("complete", "failed") in trainer.heard


def test_calls_without_ids_are_given_one_and_answered_by_it():
    call = {"function": {"name": "add", "arguments": '{"left": 1, "right": 2}'}}
    policy = ScriptedPolicy(
        completion(None, tool_calls=[call, call]),
        completion(None, tool_calls=[call]),
        completion("3"),
    )

    def add(left: int, right: int) -> int:
        return left + right

    reply = make_episode(policy).converse("?", tools=[add])
    hold_to_strict_server(reply.conversation)
    given = [c["id"] for m in reply.conversation for c in m.get("tool_calls", ())]
    assert len(set(given)) == 3


def test_what_a_client_sends_back_is_made_what_strict_servers_take():
    policy = ScriptedPolicy(completion("1"))
    made = {
        "role": "assistant", "content": None, "refusal": None, "audio": None, "function_call": None,
        "tool_calls": [tool_call("now", "", "a"), {**tool_call("now", "", "b"), "function": {"name": "now", "arguments": None}},
                       tool_call("add", '{"left": 1, ', "c")],
    }  # fmt: skip
    answers = [{"role": "tool", "tool_call_id": name, "content": "x"} for name in "abc"]
    empty = {"role": "assistant", "content": None, "tool_calls": [], "refusal": None}
    make_episode(policy).sample([made, *answers, empty])
    sent = policy.requests[0]["messages"]
    hold_to_strict_server(sent)
    assert [call["function"]["arguments"] for call in sent[0]["tool_calls"]] == [
        "{}", "{}", json.dumps({"malformed": '{"left": 1, '})
    ]  # fmt: skip
    assert sent[-1] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("trainers", "own", "override", "sent"),
    [
        ({"max_tokens": 9}, {"max_completion_tokens": 99}, False, {"max_tokens": 9}),
        ({"max_tokens": 9}, {"max_completion_tokens": 99}, True, {"max_completion_tokens": 99}),
        ({}, {"max_completion_tokens": 99}, False, {"max_completion_tokens": 99}),
        ({}, {"max_completion_tokens": 99, "max_tokens": 5}, False, {"max_tokens": 5}),
    ],
)
def test_one_limit_of_tokens_goes_out(trainers, own, override, sent):
    policy = ScriptedPolicy(completion("1"))
    episode = make_episode(policy, params=InferenceParams(**trainers))
    episode.sample([], override_trainer=override, **own)
    limits = {k: v for k, v in policy.requests[0].items() if "tokens" in k}
    assert limits == sent


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_corpus_raises_another_error_however_it_is_mangled(case):
    data = written(case)
    for cut in range(0, len(data), 37):
        for mangled in (
            data[cut:],
            data[:cut] + b"\x00" + data[cut:],
            data[:cut] + data[cut + 5 :],
        ):
            try:
                reply = read_reply(mangled)
            except RolloutError:
                continue
            assert isinstance(reply.text, str)
            assert isinstance(reply.thoughts, str)
