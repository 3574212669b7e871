"""The tool loop at its edges: calls written as text, broken tools, limits, streams, overridden parameters."""

# ruff: noqa: RUF001 - DeepSeek writes its marks with full-width bars

from __future__ import annotations

import contextlib
import json
import time

import pytest

from rollout.contract import InferenceParams
from rollout.errors import BadReply, OutOfTime, ToolBroken
from rollout.reply import read_reply
from rollout.text_tool_calls import text_calls
from rollout.thoughts import spoken as thoughts_of
from tests.building import ScriptedPolicy, completion, make_episode, tool_call


def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


CALL = '{"name": "add", "arguments": {"left": 1, "right": 2}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{CALL}</tool_call>",
        f"Let me see.\n<tool_call>\n{CALL}\n</tool_call> and wait",
        f"<tool_call>{CALL}",
        CALL,
        f"[{CALL}]",
        f"```json\n{CALL}\n```",
        f"I call\n```\n{CALL}\n```",
        '{"name": "add", "parameters": {"left": 1, "right": 2}}',
        '{"name": "add", "arguments": "{\\"left\\": 1, \\"right\\": 2}"}',
        '{"type": "function", "function": {"name": "add", "arguments": {"left": 1, "right": 2}}}',
        '<function=add>{"left": 1, "right": 2}</function>',
        "<function=add><parameter=left>1</parameter><parameter=right>2</parameter></function>",
        "[add(left=1, right=2)]",
        "add(left=1, right=2)",
        "```python\nadd(left=1, right=2)\n```",
        f"```xml\n<tool_call>{CALL}</tool_call>\n```",
        f"<|python_tag|>{CALL}",
        "<|python_tag|>add.call(left=1, right=2)",
        f"[TOOL_CALLS][{CALL}]",
        f"[TOOL_CALLS] [{CALL}]</s>",
        '[TOOL_CALLS]add[ARGS]{"left": 1, "right": 2}',
        '[TOOL_CALLS]add[CALL_ID]abcdef123[ARGS]{"left": 1, "right": 2}',
        (
            "<tool_call>add\n<arg_key>left</arg_key>\n<arg_value>1</arg_value>\n<arg_key>right</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"
        ),
        (
            "<tool_call>\n<function=add>\n<parameter=left>\n1\n</parameter>\n<parameter=right>\n2\n</parameter>\n</function>\n</tool_call>"
        ),
        (
            '<minimax:tool_call>\n<invoke name="add">\n<parameter name="left">1</parameter>\n<parameter name="right">2</parameter>\n</invoke>\n</minimax:tool_call>'
        ),
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n"
            '{"left": 1, "right": 2}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
        ),
        '<｜tool▁call▁begin｜>add<｜tool▁sep｜>{"left": 1, "right": 2}<｜tool▁call▁end｜>',
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>"
            '{"left": 1, "right": 2}<|tool_call_end|>'
        ),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
            'to=functions.add <|constrain|>json<|message|>{"left": 1, "right": 2}<|call|>'
        ),
        "<|tool_call>call:add{left:1,right:2}<tool_call|>",
        "<start_function_call>call:add{left:1,right:2}<end_function_call>",
        f"<|tool_call|>[{CALL}]<|/tool_call|>",
        "<|tool_call_start|>[add(left=1, right=2)]<|tool_call_end|>",
        f"<think>shall I <tool_call>{CALL}</tool_call>?</think><tool_call>{CALL}</tool_call>",
    ],
)
def test_a_call_written_as_text_is_read(text):
    (call,) = text_calls(text, {"add"})
    assert (call.name, json.loads(call.arguments)) == ("add", {"left": 1, "right": 2})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 3.",
        "add them up",
        "{}",
        '{"name": "rm", "arguments": {}}',
        "rm(left=1)",
        "add(1, 2)",
        "add(left=open('x'))",
        "[[[[" * 10_000,
        "x" * 200_000,
        "<tool_call>" * 5_000,
        f"<think>I could <tool_call>{CALL}</tool_call></think>It is 3.",
        f"I could <tool_call>{CALL}</tool_call>\n</think>\nIt is 3.",
        f"<think>I could <tool_call>{CALL}</tool_call>",
        f"[THINK]<tool_call>{CALL}</tool_call>[/THINK]It is 3.",
        f"<|channel>thought\n<tool_call>{CALL}</tool_call><channel|>It is 3.",
        (
            f"<|channel|>analysis<|message|><tool_call>{CALL}</tool_call><|end|>"
            "<|start|>assistant<|channel|>final<|message|>It is 3."
        ),
        f"A call looks like this:\n```\n<tool_call>{CALL}</tool_call>\n```\nI need none.",
        f"For example:\n```json\n{CALL}\n```",
        f"One writes\n```json\n{CALL}\n```\nand I will not.",
        f"~~~\n{CALL}\n~~~\nis how it is done",
        f"I may write `<tool_call>{CALL}</tool_call>` to add.",
        f'The manual says "<tool_call>{CALL}</tool_call>".',
        f"As in `[TOOL_CALLS][{CALL}]`, but no.",
    ],
)
def test_prose_is_no_call(text):
    assert text_calls(text, {"add"}) == []


FIND = {
    "find": {
        "properties": {
            "zip": {"type": "string"},
            "country": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "colour": {"enum": ["red", "1"]},
            "most": {"type": "integer"},
            "near": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
        }
    }
}
VALUES = {"zip": "01234", "country": "1e3", "colour": "1", "most": 5, "near": True, "tags": ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        "<function=find>{}</function>".format(
            "".join(f"<parameter={k}>\n{v}\n</parameter>" for k, v in {
                **VALUES, "near": "true", "tags": '["a"]'}.items())),
        "<tool_call>find{}</tool_call>".format(
            "".join(f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in {
                **VALUES, "near": "true", "tags": '["a"]'}.items())),
    ],
)  # fmt: skip
def test_a_value_keeps_its_type_by_the_tools_schema(text):
    (call,) = text_calls(text, FIND)
    assert json.loads(call.arguments) == VALUES


def test_a_call_owns_the_fences_and_the_marks_inside_it():
    code = "```python\nprint(1)\n```"
    text = f"<function=find><parameter=zip>\n{code}\n</parameter></function>"
    (call,) = text_calls(text, FIND)
    assert json.loads(call.arguments) == {"zip": code}
    text = '<|tool_call>call:find{zip:<|"|>a:b, {1}<|"|>,most:5,tags:[<|"|>x<|"|>]}<tool_call|>'
    (call,) = text_calls(text, FIND)
    assert json.loads(call.arguments) == {"zip": "a:b, {1}", "most": 5, "tags": ["x"]}


def test_a_thought_is_neither_run_nor_part_of_the_answer():
    thought = f"<think>maybe <tool_call>{CALL}</tool_call>, 4?</think>"
    policy = ScriptedPolicy(completion(f"{thought}The answer is 3."))
    reply = make_episode(policy).converse("1+2?", tools=[add], recover_text_calls=True)
    assert reply.text == "The answer is 3."
    assert "maybe" in reply.thoughts
    assert reply.message["content"].startswith("<think>")  # the transcript has it all
    assert len(policy.requests) == 1


@pytest.mark.parametrize(
    ("text", "thoughts", "spoken"),
    [
        ("plain  text\n", "", "plain  text\n"),
        ("<think>a</think>\n\nb", "a", "b"),
        ("a</think>b", "a", "b"),
        ("<think>a", "a", ""),
        ("x<think>a</think>y<think>b</think>z", "a\nb", "xyz"),
        ("<Thinking>a</THINKING>b", "a", "b"),
        ("<reasoning>a</reasoning><answer>b</answer>", "a", "<answer>b</answer>"),
        (
            "<think>an </answer> and <thought> inside</think>b",
            "an </answer> and <thought> inside",
            "b",
        ),
        ("◁think▷a◁/think▷b", "a", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "a", "b"),
        ("the mark `<think>` opens it", "", "the mark `<think>` opens it"),
        ("a < b and <b>bold</b> [1]", "", "a < b and <b>bold</b> [1]"),
    ],
)
def test_thoughts_are_told_from_what_is_said(text, thoughts, spoken):
    assert tuple(thoughts_of(text)) == (thoughts, spoken)


def test_recovered_calls_run_and_are_counted():
    policy = ScriptedPolicy(completion(f"<tool_call>{CALL}</tool_call>"), completion("3"))
    episode = make_episode(policy)
    reply = episode.converse("1+2?", tools=[add], recover_text_calls=True)
    assert reply.text == "3"
    assert episode.metrics == {"text_tool_calls": 1, "tool_calls": 1}
    assert policy.requests[1]["messages"][-1] == {"role": "user", "content": "add: 3"}
    assert [m["role"] for m in reply.conversation] == ["user", "assistant", "user", "assistant"]


def test_text_stays_text_unless_asked_for():
    policy = ScriptedPolicy(completion(f"<tool_call>{CALL}</tool_call>"))
    episode = make_episode(policy)
    assert "tool_call" in episode.converse("1+2?", tools=[add]).text
    assert episode.metrics == {}


def flaky(failures):
    left = [failures]

    def fetch() -> str:
        """Fetch it."""
        if left[0] > 0:
            left[0] -= 1
            raise ConnectionError("down")
        return "here"

    return fetch


def test_a_broken_tool_is_called_again_within_a_bound(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    calls = completion(None, tool_calls=[tool_call("fetch", {})])
    policy = ScriptedPolicy(calls, completion("done"))
    assert make_episode(policy).converse("?", tools=[flaky(2)]).text == "done"
    assert policy.requests[1]["messages"][-1]["content"] == "here"
    policy = ScriptedPolicy(calls, completion("done"))
    with pytest.raises(ToolBroken, match="'fetch' failed with ConnectionError"):
        make_episode(policy).converse("?", tools=[flaky(3)])
    assert len(policy.requests) == 1  # the outage never became text


def test_a_missing_file_is_the_tools_own_refusal():
    def read() -> str:
        """Read it."""
        raise FileNotFoundError("no such file")

    policy = ScriptedPolicy(completion(None, tool_calls=[tool_call("read", {})]), completion("ok"))
    make_episode(policy).converse("?", tools=[read])
    assert "no such file" in policy.requests[1]["messages"][-1]["content"]


def test_calls_beyond_the_turns_limit_are_not_made():
    calls = [tool_call("add", {"left": n, "right": 0}, f"c{n}") for n in range(3)]
    policy = ScriptedPolicy(completion(None, tool_calls=calls), completion("ok"))
    episode = make_episode(policy)
    episode.converse("?", tools=[add], max_calls_per_turn=2)
    answers = policy.requests[1]["messages"][-3:]
    assert [m["tool_call_id"] for m in answers] == ["c0", "c1", "c2"]
    assert [m["content"][:5] for m in answers] == ["0", "1", "Error"]
    assert episode.metrics["tool_calls"] == 2


def test_the_trainers_parameters_win_unless_the_agent_insists():
    policy = ScriptedPolicy(completion("a"), completion("b"))
    episode = make_episode(policy, params=InferenceParams(temperature=1.0))
    messages = [{"role": "user", "content": "hi"}]
    episode.sample(messages, temperature=0.2, stop=["x"], seed=7, logprobs=True)
    episode.sample(messages, temperature=0.2, override_trainer=True)
    assert [r["temperature"] for r in policy.requests] == [1.0, 0.2]
    assert (policy.requests[0]["stop"], policy.requests[0]["seed"]) == (["x"], 7)
    assert "override_trainer" not in policy.requests[1]


def stream(*chunks):
    return (
        b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n"
    )


def delta(reason=None, **parts):
    return {"id": "c", "choices": [{"index": 0, "delta": parts, "finish_reason": reason}]}


def test_a_streamed_reply_is_put_together():
    first = {"index": 0, "id": "c1", "type": "function"}
    reply = read_reply(
        stream(
            delta(role="assistant", content="Let "),
            delta(content="me see"),
            delta(tool_calls=[{**first, "function": {"name": "add", "arguments": '{"left"'}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
            delta("tool_calls"),
            {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        )
    )
    assert reply.text == "Let me see"
    (call,) = reply.tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "add", '{"left": 1}')
    assert reply.finish_reason == "tool_calls"
    assert reply.usage == {"prompt_tokens": 3, "completion_tokens": 4}


@pytest.mark.parametrize("data", [b"data: {", b"data: []\n", b'data: {"choices": 7}\n', b"data:"])
def test_a_misshapen_stream_is_a_bad_reply_or_an_empty_one(data):
    with contextlib.suppress(BadReply):
        assert read_reply(data).text == ""


def test_when_time_is_over_the_agent_may_catch_it():
    episode = make_episode(ScriptedPolicy())
    episode.close()
    with pytest.raises(OutOfTime):
        episode.converse("?")
