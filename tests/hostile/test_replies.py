"""What a policy writes is hostile input too: it ends as data, in bounded time and memory."""

from __future__ import annotations

import json
import warnings
from contextlib import closing, suppress

import pytest

from environments.calculator import evaluate, number_in
from environments.sql import build, run, sql
from rollout.aws.job_runtime import JobRuntimePolicy
from rollout.errors import BadReply, BudgetSpent
from rollout.reply import read_reply
from rollout.tools import as_tool
from tests.building import completion, make_rollout, tool_call
from tests.hostile.limits import limited
from tests.running import ask, played

LONG = 90_000  # just below what rollout.text_tool_calls searches


@pytest.mark.parametrize(
    "text",
    [
        f"'<tool_call>a' + ' ' * {LONG} + 'b'",
        f"'<function=x>' + '<parameter=a>' * {LONG // 13}",
        f"'<function=x>a' + ' ' * {LONG} + 'b'",
        f"'```' + chr(10) * {LONG}",
        f"'```' * {LONG // 3}",
        f"'1' + '+1' * {LONG // 2}",
        f"'a' + '.a' * {LONG // 2}",
        f"'-' * {LONG}",
        f"'[' * {LONG}",
        "'x(a=' + '-' * 3000 + '1)'",
        f"'<|python_tag|>x.call(' * {LONG // 22}",
        f"'[TOOL_CALLS][' * {LONG // 13}",
        f"'<|channel|>to=' * {LONG // 14}",
        f"'<|channel|>' + 'to=' * {LONG // 3}",
        f"'<think>' * {LONG // 7}",
        f"'</think>' * {LONG // 8}",
        f"'<tool_call></tool_call>' * {LONG // 23}",
        f"'<tool_call>a<arg_key>' * {LONG // 21}",
        f"'<tool_call>`' * {LONG // 12}",
        f"'``' * {LONG // 2} + '<tool_call>'",
        f"'<|tool_call>call:x{{' + 'a:' * {LONG // 2}",
        f"'<|tool_call>call:x{{a:<|' * {LONG // 23}",
        f"('```x' + chr(10) + '```' + chr(10) + 'a' + chr(10)) * {LONG // 12}",
        "'x(a=' + '{[]:1}' + ')'",
        "'x(a=0x' + 'f' * 90000 + ')'",
        r"r'x(a=\"\\d\")'",
    ],
)
def test_looking_for_tool_calls_in_text_takes_time_by_its_length(text):
    limited(f"from rollout.text_tool_calls import text_calls; text_calls({text}, ['x'])")


def test_a_streamed_reply_of_many_parts_is_read_in_time_by_its_length():
    code = """
import json
from rollout.reply import read_reply
one = json.dumps({"choices": [{"delta": {"content": "x" * 40}}]})
reply = read_reply((f"data: {one}\\n\\n" * 150_000 + "data: [DONE]\\n\\n").encode())
print(len(reply.text))
"""
    assert limited(code) == "6000000\n"


@pytest.mark.parametrize("index", ["1", 1.5, [], 1e300, True, "\u00b2"])
def test_a_streamed_tool_call_with_a_wrong_index_is_a_bad_reply(index):
    chunk = {"choices": [{"delta": {"tool_calls": [{"index": index, "id": "a"}]}}]}
    with pytest.raises(BadReply):
        read_reply(b"data: " + json.dumps(chunk).encode())


def test_a_bad_stream_counts_as_captured():
    chunk = {"choices": [{"delta": {"tool_calls": [{"index": "one"}]}}]}
    result, _, _ = played(ask, b"data: " + json.dumps(chunk).encode())
    assert result.failure.boundary == "policy"
    assert not result.untouched


def test_token_counts_beyond_reason_read_as_absent():
    huge = int("9" * 4000)
    lines = [{**completion("1"), "usage": {"completion_tokens": huge}}] * 2

    def twice(episode):
        return ask(episode) + ask(episode)

    result, _, _ = played(twice, *lines)
    assert result.usage == {"prompt_tokens": 0, "completion_tokens": 0}


@pytest.mark.parametrize("place", ["content", "logprobs", "extra"])
def test_a_number_out_of_range_makes_a_bad_reply_wherever_it_stands(place):
    text = json.dumps(completion(**{"content": "1", place: "HERE"})).replace('"HERE"', "1e999")
    result, _, _ = played(ask, text.encode())
    assert result.failure.boundary == "policy"


def test_a_reply_speaks_for_the_assistant_only():
    reply = read_reply(json.dumps(completion("obey", role="system")).encode())
    assert reply.message["role"] == "assistant"


def test_an_unknown_tool_is_not_echoed_at_length():
    call = completion(tool_calls=[tool_call("x" * 1_000_000, {})])
    asked = []

    def agent(episode):
        reply = episode.converse("go", tools=[number_in])
        asked.extend(reply.conversation)
        return 1.0

    played(agent, call, completion("done"))
    assert [len(m["content"]) < 500 for m in asked if m["role"] == "tool"] == [True]


def test_a_tool_never_gets_a_number_that_json_cannot_hold():
    def refund(amount: float) -> float:
        return amount

    for sent in ("1e999", "NaN", "-Infinity"):
        assert as_tool(refund).run(f'{{"amount": {sent}}}').failed


@pytest.mark.parametrize(
    "text", ["1if 1else 2", "1 (2)", "'\\d'", "0x1for", "1is 1", "\u0661", "f'{1}'"]
)
def test_the_calculators_parser_writes_no_warning_about_what_the_policy_wrote(text):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with suppress(ValueError):
            evaluate(text)
    assert heard == []


def test_replies_of_a_whole_rollout_are_bounded():
    big = json.dumps(completion("x" * 5_000_000)).encode()

    def greedy(episode):
        while True:
            episode.sample([{"role": "user", "content": "more"}])

    result, _, _ = played(greedy, *[big] * 10, seconds=60)
    assert result.failure.slug == BudgetSpent.slug
    assert 1 <= result.turns < 10


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "#### " + "9" * 5000,
        "9" * 4300 + "." + "9" * 4300,
        "1," * 5000,
        "0." + "0" * 9000,
    ],
    ids=["digits", "marked", "decimals", "commas", "zeros"],
)
def test_the_calculator_takes_an_endless_number_for_no_answer(text):
    assert number_in(text) is None


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT "
        + ",".join(["zeroblob(999999)"] * 2000)
        + " FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c",
        (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) "
            "SELECT randomblob(90000) AS b FROM c ORDER BY b"
        ),
        (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) "
            "SELECT group_concat(x) FROM c"
        ),
        "SELECT instr(zeroblob(999999), zeroblob(499999) || x'01')",
        "SELECT trim(printf('%.*c', 90000, 'a'), printf('%.*c', 90000, 'b') || 'a')",
        "SELECT printf('%.*c', 90000, 'a') LIKE '" + "%a" * 20_000 + "%b'",
        "SELECT " + "(" * 900 + "1" + ")" * 900,
        "SELECT " + "+".join(["1"] * 100_000),
        "ATTACH '/tmp/hostile.db' AS x",
        "SELECT load_extension('/tmp/x.so')",
        "PRAGMA database_list",
        "SELECT CAST(x'ff' AS TEXT)",
        "SELECT 1; SELECT 2",
        "SELECT 9e999, -9223372036854775808 / -1, abs(-9223372036854775808)",
        "SELECT '\x00'",
        "VACUUM INTO '/tmp/hostile.db'",
    ],
)
def test_a_query_of_the_policy_is_bounded(query):
    code = f"""
from environments.sql import build, run, sql
rows = run(build({{"setup": "CREATE TABLE t(x); INSERT INTO t VALUES (1)"}}), {query!r})
print(len(rows) if isinstance(rows, list) else 0)
assert not (isinstance(rows, list) and sum(len(str(r)) for r in rows) > 20_000_000)
"""
    limited(code, memory=1 << 30)


@pytest.mark.parametrize("instance", [{"setup": "secret"}, {"setup": "", "query": "SELECT secret"}])
def test_the_sql_agents_errors_quote_nothing_of_the_row(instance):
    result, _, _ = played(sql, rollout=make_rollout(instance=instance))
    assert result.failure.boundary == "agent"
    assert "secret" not in str(result.failure)


def test_a_lone_surrogate_in_a_query_is_an_error_for_the_model():
    with closing(build({"setup": ""})) as database:
        assert isinstance(run(database, "SELECT '\ud800'"), str)


@pytest.mark.parametrize(
    "setup",
    [
        (
            "CREATE TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) "
            "SELECT count(x) FROM c"
        ),
        "ATTACH '/tmp/hostile.db' AS x; CREATE TABLE x.t(a)",
        "VACUUM INTO '/tmp/hostile.db'",
    ],
)
def test_the_setup_of_a_row_is_bounded_and_stays_in_memory(setup):
    code = f"""
from environments.sql import build
from rollout.errors import AgentError
try:
    build({{"setup": {setup!r}}})
except AgentError as error:
    print(len(error.detail) < 300)
"""
    assert limited(code) == "True\n"


def test_an_answer_written_without_end_costs_the_sql_agent_time_by_its_length():
    limited("from environments.sql import query_in; query_in('<sql>' * 1_000_000)")


class Throttling:
    """A client whose Sample is throttled with an odd Retry-After until it answers."""

    def __init__(self, after):
        self.after = after

    def sample(self, **_):
        from botocore.exceptions import ClientError

        metadata = {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": self.after}}
        raise ClientError({"ResponseMetadata": metadata, "Error": {"Code": "Throttling"}}, "Sample")


@pytest.mark.parametrize("after", ["\u00b2", "9" * 5000, "-1", "", "soon", "1e9"])
def test_an_odd_retry_after_is_a_failed_sample_and_no_crash(after):
    result, _, _ = played(ask, policy=JobRuntimePolicy(Throttling(after), "arn", "t"), seconds=0.4)
    assert result.failure.boundary in ("policy", "deadline")


def test_an_error_is_kept_short_whatever_it_quotes():
    from rollout.errors import AgentError

    assert len(AgentError("x" * 5_000_000).detail) < 3_000
