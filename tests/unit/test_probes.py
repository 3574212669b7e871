"""Probes and the verdict on them."""

from __future__ import annotations

import json

import pytest

from devkit.commands.probe import result_of
from devkit.emulator.faults import PRESETS, parse_faults, preset_of
from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.process_killer import AtRandom
from devkit.policies.probes import PROBES, example, probe
from devkit.rehearsal.run_files import RolloutRecord

TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {
                "seat": {"type": "integer"},
                "class": {"enum": ["first", "second"]},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "extra": {"type": "array"},
            },
            "required": ["seat", "class", "note"],
        },
    },
}


def asked(tools=(TOOL,), max_tokens=4_096):
    messages = [{"role": "system", "content": "Be good."}, {"role": "user", "content": "Book!"}]
    body = {"messages": messages, "tools": list(tools), "max_tokens": max_tokens}
    return SampleRequest("job", "t", {}, body, turn=3)


def said(name, **request):
    return probe(name)(asked(**request))["choices"][0]


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("tools", [(), (TOOL,)])
def test_every_probe_answers_any_agent_with_a_message(name, tools):
    choice = said(name, tools=tools)
    assert choice["message"]["role"] == "assistant"
    json.dumps(choice)


def test_a_probe_reads_what_is_offered():
    call = said("endless-calls")["message"]["tool_calls"][0]["function"]
    assert call["name"] == "book"
    assert json.loads(call["arguments"]) == {"seat": 1, "class": "first", "note": "1"}
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(said("malformed-arguments")["message"]["tool_calls"][0]["function"]["arguments"])
    assert said("copy-prompt")["message"]["content"] == "Be good.\n\nBook!"
    assert '"name": "book"' in said("text-calls")["message"]["content"]


def test_a_long_reply_counts_as_cut_off_where_the_trainer_would_cut_it():
    assert said("very-long")["finish_reason"] == "length"
    assert said("refusal")["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        ({"type": "object", "properties": {"a": {"const": 7}}}, {"a": 7}),
        ({"properties": {"a": {"type": "object", "properties": {"b": {}}}}}, {"a": {"b": "1"}}),
    ],
)
def test_arguments_are_made_from_a_schema(schema, value):
    assert example(schema) == value


def played(row, reward, boundary=""):
    error = {"type": "t", "title": "Oh", "boundary": boundary, "detail": ""} if boundary else None
    return RolloutRecord(
        trajectory_id=f"silence/{row}", group=row, member=0, instance={}, http_status=200,
        status="ready" if reward is not None else "failed", reward=reward, rewards=None, error=error,
        seconds=1.0, sampled=1, turns_answered=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "allowed", "verdict", "bad"),
    [
        ([played(0, 0.0), played(1, 0.2)], (), "withstood", False),
        ([played(0, 1.0), played(1, 0.2)], (), "REACHES GOLD on 1 of 2 rows", True),
        ([played(0, 1.0), played(1, 0.2)], ("silence",), "allowed", False),
        ([played(0, None, "agent"), played(1, 0.0)], (), "crashes", True),
        ([played(0, None, "deadline"), played(1, 0.0)], (), "fails the rollout", False),
        ([played(2, 0.5)], (), "not judged: gold earns nothing", False),
    ],
)
def test_a_probe_is_judged_row_by_row_against_gold(records, allowed, verdict, bad):
    result = result_of("silence", records, {0: 1.0, 1: 0.5, 2: None}, allowed)
    assert (result.verdict, result.bad) == (verdict, bad)


def test_presets_are_scripts_that_can_be_read():
    for name, preset in PRESETS.items():
        assert preset_of(name) is preset
        assert parse_faults(preset.script).faults or preset.kill
    assert preset_of("").says == ""
    assert preset_of("Sample@2:status=429").script == "Sample@2:status=429"


def test_a_share_of_the_workers_is_killed_the_same_whenever_it_is_played():
    plan = AtRandom(0.5, seed=4)
    deaths = [plan(f"r-{n}") for n in range(200)]
    assert 60 < sum(bool(d) for d in deaths) < 140
    assert deaths == [AtRandom(0.5, seed=4)(f"r-{n}") for n in range(200)]
    assert deaths != [AtRandom(0.5, seed=5)(f"r-{n}") for n in range(200)]
