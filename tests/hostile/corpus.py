"""Nasty bodies, paths, headers, job events and replies by name, each with a canary in it."""

# ruff: noqa: RUF001 - DeepSeek writes its marks with full-width bars

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.building import ACCOUNT, JOB_ARN, completion, make_body, tool_call

CANARY = "canary~7f3a91"  # no id could hold it: ids are logged, and may be
INSTANCE = {"question": f"{CANARY}: 1+1?", "answer": "#### 2"}


def _valid(**changes: Any) -> bytes:
    return json.dumps(make_body(INSTANCE) | changes).encode()


def _instance(text: str) -> bytes:
    """A valid body whose instance is this JSON text."""
    return _valid(instance="HERE").replace(b'"HERE"', text.encode())


def _metadata(**changes: Any) -> bytes:
    return json.dumps(make_body(INSTANCE, **changes)).encode()


def _arn(**changes: str) -> bytes:
    text = JOB_ARN
    for old, new in changes.values():
        text = text.replace(old, new)
    return _metadata(job_arn=text)


# name -> the statuses it may be answered, and how it is made.
BODIES: dict[str, tuple[set[int], Callable[[], bytes]]] = {
    "valid": ({200}, _valid),
    "empty": ({400}, lambda: b""),
    "blank": ({400}, lambda: b" \n\t "),
    "digits 5,000": ({400}, lambda: _instance('{"n": ' + "9" * 5_000 + "}")),
    "digits 4,300": ({200, 400, 422}, lambda: _instance('{"question": "q", "answer": ' + "9" * 4_300 + "}")),
    "fraction of 100,000 digits": ({200, 400, 422}, lambda: _instance('{"n": 0.' + "1" * 100_000 + "}")),
    "1e999": ({422}, lambda: _instance('{"n": 1e999}')),
    "exponent without end": ({400, 422}, lambda: _instance('{"n": 1e' + "9" * 10_000 + "}")),
    "max_tokens of 4,000 digits": ({200, 422}, lambda: _valid(inference_params={"max_tokens": int("9" * 4_000)})),
    "temperature nan": ({422}, lambda: _valid(inference_params={"temperature": "nan"})),
    "temperature of 4,000 digits": ({200, 422}, lambda: _valid(inference_params={"temperature": int("9" * 4_000)})),
    "brackets 100,000": ({400}, lambda: b"[" * 100_000),
    "braces 100,000": ({400}, lambda: b'{"a":' * 100_000),
    "nested 201": ({400}, lambda: _instance("[" * 201 + "]" * 201)),
    "nested 190": ({422}, lambda: _instance("[" * 190 + "]" * 190)),
    "nested 190 in an instance": ({200}, lambda: _instance('{"question": "q", "answer": "1", "x": ' + "[" * 190 + "]" * 190 + "}")),
    "duplicate keys": ({400}, lambda: _valid()[:-1] + b', "instance": {}}'),
    "duplicate keys inside": ({400}, lambda: _instance('{"a": 1, "a": 2}')),
    "NaN": ({400}, lambda: _instance('{"n": NaN}')),
    "Infinity": ({400}, lambda: _instance('{"n": -Infinity}')),
    "lone surrogate": ({400}, lambda: _instance('{"s": "\\ud800' + CANARY + '"}')),
    "lone surrogate as key": ({400}, lambda: _instance('{"\\udfff": 1}')),
    "surrogate bytes": ({400}, lambda: _instance('{"s": "HERE"}').replace(b"HERE", b"\xed\xa0\x80")),
    "escaped NUL": ({200}, lambda: _instance('{"question": "\\u0000", "answer": "1"}')),
    "raw NUL": ({400}, lambda: _instance('{"s": "HERE"}').replace(b"HERE", b"\x00")),
    "NUL alone": ({400}, lambda: b"\x00"),
    "control characters": ({400}, lambda: _instance('{"s": "HERE"}').replace(b"HERE", b"\x01\x1f\x7f")),
    "BOM": ({400}, lambda: b"\xef\xbb\xbf" + _valid()),
    "UTF-16": ({400}, lambda: _valid().decode().encode("utf-16")),
    "UTF-16 without BOM": ({400}, lambda: _valid().decode().encode("utf-16-le")),
    "UTF-32": ({400}, lambda: _valid().decode().encode("utf-32")),
    "UTF-7": ({400}, lambda: b"+AHs-" + CANARY.encode()),
    "overlong UTF-8": ({400}, lambda: _instance('{"s": "HERE"}').replace(b"HERE", b"\xc0\xaf")),
    "latin-1": ({400}, lambda: _instance('{"s": "HERE"}').replace(b"HERE", b"\xe9")),
    "noncharacters": ({200}, lambda: _instance('{"question": "\\uffff\\ufffe\\u202e", "answer": "1"}')),
    "gzip": ({400}, lambda: gzip.compress(_valid())),
    "truncated gzip": ({400}, lambda: gzip.compress(_valid() * 50)[:100]),
    "gzip bomb": ({400}, lambda: gzip.compress(b"0" * 20_000_000)),
    "6 MB": ({413}, lambda: _instance(json.dumps({"question": CANARY + "x" * 6_000_000, "answer": "1"}))),
    "4.9 MB": ({200}, lambda: _instance(json.dumps({"question": CANARY + "x" * 4_900_000, "answer": "1"}))),
    "4.9 MB of brackets": ({200, 422}, lambda: _instance('{"question": "q", "answer": "1", "x": [' + "[]," * 1_600_000 + "0]}")),
    "6 MB of white space": ({413}, lambda: b" " * 6_000_000),
    "200,000 keys": ({200}, lambda: _instance(json.dumps({"question": "q", "answer": "1"} | {f"k{i}": i for i in range(200_000)}))),
    "no object": ({422}, lambda: b'"' + CANARY.encode() + b'"'),
    "null": ({422}, lambda: b"null"),
    "number": ({422}, lambda: b"1"),
    "array": ({422}, lambda: b"[" + _valid() + b"]"),
    "two documents": ({400}, lambda: _valid() + _valid()),
    "trailing comma": ({400}, lambda: _valid()[:-1] + b",}"),
    "comment": ({400}, lambda: _valid() + b"// " + CANARY.encode()),
    "single quotes": ({400}, lambda: _valid().replace(b'"', b"'")),
    "truncated": ({400}, lambda: _valid()[:-20]),
    "form": ({400}, lambda: b"instance=%7B%7D&metadata=" + CANARY.encode()),
    "multipart": ({400}, lambda: b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--"),
    "XML": ({400}, lambda: b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "pickle": ({400}, lambda: b"\x80\x04\x95\x00."),
    "base64 of a body": ({400}, lambda: base64.b64encode(_valid())),
    "base64 of base64": ({400}, lambda: base64.b64encode(base64.b64encode(_valid()))),
    "instance is a list": ({422}, lambda: _valid(instance=[CANARY])),
    "instance is null": ({422}, lambda: _valid(instance=None)),
    "metadata is a string": ({422}, lambda: _valid(metadata=CANARY)),
    "metadata is missing": ({422}, lambda: json.dumps({"instance": INSTANCE}).encode()),
    "ids are numbers": ({422}, lambda: _metadata(trajectory_id=1)),
    "both spellings": ({200, 403, 422}, lambda: _metadata(trajectoryId="other", jobArn="other")),
    "prototype keys": ({200}, lambda: _valid(__proto__={"a": 1}, constructor=CANARY, __class__="x")),
    "format strings": ({200}, lambda: _instance(json.dumps({"question": "%s%n{0.__class__}${jndi:ldap://evil.example}" + CANARY, "answer": "1"}))),
    "CR LF in the id": ({403}, lambda: _metadata(trajectory_id=f"t\r\nX-Evil: {CANARY}")),
    "NUL in the id": ({403}, lambda: _metadata(trajectory_id="t\x00")),
    "newline after the id": ({403}, lambda: _metadata(trajectory_id="t\n")),
    "id of 257": ({403}, lambda: _metadata(trajectory_id="x" * 257)),
    "id of a megabyte": ({403}, lambda: _metadata(trajectory_id="x" * 1_000_000)),
    "id like a path": ({200}, lambda: _metadata(trajectory_id="../../etc/passwd")),
    "id is empty": ({403}, lambda: _metadata(trajectory_id="")),
    "CR LF in the ARN": ({403}, lambda: _metadata(job_arn=JOB_ARN + "\r\nX-Evil: 1")),
    "ARN of another account": ({403}, lambda: _arn(a=(ACCOUNT, "999999999999"))),
    "ARN of another region": ({403}, lambda: _arn(a=("us-west-2", "eu-west-1"))),
    "ARN of another partition": ({403}, lambda: _arn(a=("arn:aws:", "arn:aws-cn:"))),
    "ARN of another service": ({403}, lambda: _arn(a=(":sagemaker:", ":s3:"))),
    "ARN of another resource": ({403}, lambda: _arn(a=("job/", "endpoint/"))),
    "ARN with unicode digits": ({403}, lambda: _arn(a=(ACCOUNT, "\u0661" * 12))),
    "ARN that makes a pattern backtrack": ({403}, lambda: _metadata(job_arn=JOB_ARN + "-" * 200 + "!")),
    "ARN of a megabyte": ({403}, lambda: _metadata(job_arn="arn:aws" + "a" * 1_000_000)),
    "region of another": ({403}, lambda: _metadata(region="eu-west-1")),
    "region with a host in it": ({403}, lambda: _metadata(region="us-west-2.evil.example/")),
    "endpoint of another": ({403}, lambda: _metadata(endpoint="https://evil.example")),
    "endpoint of a megabyte": ({403}, lambda: _metadata(endpoint="https://" + "a" * 1_000_000)),
    "model endpoint": ({403}, lambda: _valid(model_endpoint="anything")),
    "model endpoint with a path": ({403}, lambda: _valid(model_endpoint="../" + CANARY)),
    "model name of a megabyte": ({200}, lambda: _valid(model_name=CANARY + "x" * 1_000_000)),
    "a token of a megabyte in SQL": ({200}, lambda: _valid(instance={"question": "q", "setup": "", "query": "x" * 1_000_000})),
}  # fmt: skip

# Paths as an event carries them; none of them is a rollout's.
PATHS: list[str] = [
    "/", "", "//", "/rollout/", "//rollout", "/rollout//", "/ROLLOUT", "/rollout%00", "/rollout\x00", "/health/../rollout",
    "/rollouts", "/rollouts/", "/rollouts//", "/rollouts/../health", "/rollouts/%2e%2e/%2e%2e/etc/passwd", "/rollouts/%00",
    "/rollouts/\x00", "/rollouts/%0d%0aX-Evil:1", "/rollouts/a\r\nX-Evil: 1", "/rollouts/a\nb", "/rollouts/%ff%fe", "/rollouts/%",
    "/rollouts/%zz", "/rollouts/%ED%A0%80", "/rollouts/\ud800", "/rollouts/" + "x" * 257, "/rollouts/" + "x" * 8_000,
    "/rollouts/" + "\u00e9" * 1_000, "/rollouts/" + "%2f" * 3_000, "/rollouts/<script>", "/rollouts/{trajectory_id}",
    "/rollouts/' OR 1=1", "/rollouts/$(id)", "/rollouts/\u202e", "/rollouts/;x", "/rollouts/?x", "/rollouts/#x", "/.env",
    "/rollout;jsessionid=1", "http://evil.example/rollout", "/\\evil.example", "/" + "a/" * 4_000, "/rollouts/" + "(" * 500,
]  # fmt: skip

QUERIES: list[Any] = [
    None, {}, {"job_arn": ""}, {"job_arn": JOB_ARN}, {"job_arn": None}, {"job_arn": "x" * 5_000}, {"job_arn": "\ud800"},
    {"job_arn": "\x00\r\n"}, {"JOB_ARN": JOB_ARN}, {"job_arn": "\u00e9" * 300}, {"": ""}, {f"k{i}": "v" for i in range(2_000)},
    {"job_arn": JOB_ARN + "\n"}, {"job_arn": "#"}, {"job_arn": "evaluation"},
]  # fmt: skip

HEADERS: list[Any] = [
    None, {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-16"}, {"Content-Type": ""},
    {"content-type": "application/xml"}, {"Content-Type": "multipart/form-data; boundary=" + "x" * 5_000},
    {"Content-Encoding": "gzip"}, {"Content-Length": "-1"}, {"Content-Length": "9" * 5_000}, {"Transfer-Encoding": "chunked"},
    {"Prefer": "respond-async"}, {"prefer": "respond-async; wait=" + "9" * 5_000}, {"Prefer": ","}, {"Prefer": ";" * 9_000},
    {"PREFER": "RESPOND-ASYNC"}, {"Prefer": "respond-async\r\nX-Evil: 1"}, {"Prefer": "\x00"}, {"Prefer": None}, {"Accept": "text/html"},
    {"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}, {"": ""},
    {"X-HTTP-Method-Override": "DELETE"}, {"Authorization": f"Bearer {CANARY}"}, {"Cookie": CANARY}, {"Expect": "100-continue"},
    {f"X-{i}": CANARY for i in range(500)}, {"X-Amzn-Trace-Id": CANARY}, {"Accept-Encoding": "gzip, br"},
]  # fmt: skip

_JOB = {
    "prompt": json.dumps(INSTANCE),
    "metadata": {"jobArn": JOB_ARN, "rolloutId": "j-1", "region": "us-west-2"},
    "inferenceParams": {"temperature": 1.0},
}

JOBS: list[Any] = [
    None, True, 0, 1.5, "", CANARY, [], [_JOB], {}, {"body": None}, {"body": 1}, {"body": []}, {"body": CANARY}, {"body": "{}"},
    {"body": json.dumps(_JOB)}, {"body": json.dumps(_JOB), "isBase64Encoded": True}, {"body": _JOB}, {"body": {"body": _JOB}},
    {"body": base64.b64encode(json.dumps(_JOB).encode()).decode(), "isBase64Encoded": "yes"}, {"body": "x" * 6_000_000},
    {"body": "[" * 100_000}, {"body": "\ud800"}, _JOB, {**_JOB, "metadata": None}, {**_JOB, "metadata": []}, {**_JOB, "metadata": CANARY},
    *({**_JOB, "prompt": prompt} for prompt in (
        None, 1, True, [], {}, "", "null", "[]", "{", "[" * 100_000, '{"a":' * 100_000, '{"n": ' + "9" * 5_000 + "}", '{"n": NaN}',
        '{"n": 1e999}', '{"a": 1, "a": 2}', '{"s": "\\ud800"}', "\ud800", "\x00", "\ufeff{}", CANARY + "x" * 4_000_000,
        {"question": float("nan")}, {"question": float("inf")}, {"question": 1e308 * 10}, {"x": "\udfff"}, int("9" * 4_300))),
    *({**_JOB, "metadata": {**_JOB["metadata"], key: value}} for key in ("jobArn", "rolloutId", "endpoint", "region") for value in (
        None, "", 1, [], {}, True, CANARY, "\r\n", "\x00", "\ud800", "x" * 100_000, "arn:" * 1_000, ":::::::", "https://evil.example",
        "169.254.169.254", ["a"], float("nan"))),
    *({**_JOB, "inferenceParams": value} for value in (
        None, 1, "", [], CANARY, {"temperature": "nan"}, {"temperature": "hot"}, {"maxTokens": 1e999}, {"maxTokens": int("9" * 4_300)},
        {"topP": [1]}, {"temperature": -(10**400)}, {"max_tokens": 1, "maxTokens": 2})),
]  # fmt: skip

WRONG: list[Any] = [
    None, True, False, 0, -1, 1.5, "", CANARY, [], [[]], {}, {"a": {}}, [None], 10**18, -(10**18), int("9" * 4_000), "\x00", "\ud800",
    "x" * 10_000, [CANARY] * 1_000, {"role": "system"},
]  # fmt: skip


def _said(text: str, **message: Any) -> bytes:
    return json.dumps(completion(text, **message)).encode()


def _calling(*calls: Any) -> bytes:
    return json.dumps(completion(None, tool_calls=list(calls))).encode()


def _wrong_at_each_place() -> dict[str, bytes]:
    """A chat completion with each wrong value at each of its places."""
    whole = completion(CANARY, tool_calls=[tool_call("evaluate", {"expression": "1"})])
    whole |= {"id": "x", "model": "m", "object": "chat.completion"}
    found = {}
    for place in _places(whole):
        for index, value in enumerate(WRONG):
            name = "wrong at " + ".".join(map(str, place)) + f" {index}"
            found[name] = json.dumps(_with(whole, place, value)).encode()
    return found


def _places(value: Any, before: tuple = ()) -> list[tuple]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [before, *(place for key, inner in items for place in _places(inner, (*before, key)))]


def _with(value: Any, place: tuple, new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _with(copy[place[0]], place[1:], new)
    return copy


def _stream(*deltas: Any, **more: Any) -> bytes:
    lines = [json.dumps({"choices": [{"delta": delta, **more}]}) for delta in deltas]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


REPLIES: dict[str, bytes] = {
    **{f"body: {name}": make() for name, (_, make) in BODIES.items() if not name.startswith(("6 MB", "4.9 MB"))},
    **_wrong_at_each_place(),
    "10 MB": _said(CANARY + "x" * 10_000_000),
    "5 MB": _said(CANARY + "x" * 5_000_000),
    "5 MB of brackets": b'{"choices": [{"message": {"content": "1", "x": [' + b"[]," * 1_600_000 + b"0]}}]}",
    "9 GB of tokens": json.dumps({**completion("1"), "usage": {"completion_tokens": int("9" * 4_000)}}).encode(),
    "usage in canaries": json.dumps({**completion("1"), "usage": {CANARY: 1, "completion_tokens": -5}}).encode(),
    "reason is a canary": json.dumps({"choices": [{"message": {"content": "1"}, "finish_reason": CANARY}]}).encode(),
    "5,000 tool calls": _calling(*[tool_call("evaluate", {"expression": "1"}, f"c{i}") for i in range(5_000)]),
    "50,000 empty tool calls": _calling(*[{}] * 50_000),
    "deep arguments": _calling(tool_call("evaluate", "[" * 100_000)),
    "deep object arguments": _calling(tool_call("evaluate", '{"expression": ' * 50_000)),
    "arguments with NaN": _calling(tool_call("refund", '{"order_id": "A1", "amount": NaN}')),
    "arguments out of range": _calling(tool_call("refund", '{"order_id": "A1", "amount": 1e999}')),
    "arguments of 5,000 digits": _calling(tool_call("refund", '{"order_id": "A1", "amount": ' + "9" * 5_000 + "}")),
    "arguments with a lone surrogate": _calling(tool_call("evaluate", '{"expression": "\\ud800"}')),
    "duplicate arguments": _calling(tool_call("evaluate", '{"expression": "1", "expression": "2"}')),
    "no calls in a list": json.dumps(completion(None, tool_calls={"0": tool_call("evaluate", {})})).encode(),
    **{f"tool named {index}": _calling(tool_call(name, {})) for index, name in enumerate(
        ("", "../../etc/passwd", "<script>alert(1)</script>", "%s%n", "{0}", "__import__('os').system('id')", "evaluate\x00",
         "evaluate\r\n", "\u202eetaulave", "x" * 100_000, CANARY, "__class__", "run_query; DROP TABLE t"))},
    **{f"expression {index}": _calling(tool_call("evaluate", {"expression": text})) for index, text in enumerate(
        ("9" * 200, "*".join(["9" * 38] * 5), "*".join(["1e308"] * 30), "1//1e-308", "9e999", "1%1e-300", "-" * 200, "(" * 99 + "1" + ")" * 99,
         "9**9**9", "9<<99", "__import__('os')", "'a'*9", "True", "1_000", "0x" + "f" * 190, "1if 1else 2", "1 (2)", "\\d", "1j", "a:=1",
         "lambda: 1", "[1]*9", "f'{1}'", "\u0661+\u0662", "1\x00", CANARY))},
    **{f"query {index}": _said(f"<sql>{text}</sql>") for index, text in enumerate(
        ("SELECT " + ",".join(["zeroblob(49999)"] * 90), "ATTACH '/tmp/x' AS y", "SELECT load_extension('x')", "PRAGMA writable_schema=1",
         "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c", "SELECT x'ff'", "SELECT CAST(x'ff' AS TEXT)",
         "SELECT 9e999", "DROP TABLE t", "SELECT 1; SELECT 2", "\x00", CANARY, "SELECT '" + CANARY, "((((" * 300,
         "SELECT * FROM sqlite_master, sqlite_master, sqlite_master"))},
    **{f"text {index}": _said(text) for index, text in enumerate(
        ("<tool_call>" * 8_000, "<tool_call>a" + " " * 90_000 + "b", "```" + "\n" * 90_000, "<function=evaluate>" + "<parameter=a>" * 6_000,
         '<tool_call>{"name": "evaluate", "arguments": {"expression": "' + CANARY + '"}}</tool_call>', "evaluate(expression='\\d')",
         "[evaluate(expression=1e999)]", "evaluate(expression=0x" + "f" * 90_000 + ")", "evaluate(**{'a': 1})", "<sql>" * 200_000,
         "<guess>" * 100_000, "<guess>" + "a" * 1_000_000, "<guess>" + " " * 1_000_000, "#### " + "9" * 100_000, "9," * 100_000, "GOODBYE",
         "#### -", "#### 1/0", "#### \u0662", "#### 1e5", "-" * 100_000, "$" * 100_000))},
    **{f"thought {index}": _said(text) for index, text in enumerate(
        ("<think>" * 8_000, "</think>" * 8_000, f"<think>{CANARY}", f"{CANARY}</think>#### 2", "<think>#### 2</think>",
         "<|channel|>analysis<|message|>" * 3_000, "<|channel|>" + "to=" * 30_000, "analysis" * 9_000 + "assistantfinal",
         f'<think><tool_call>{{"name": "evaluate", "arguments": {{}}}}</tool_call>{CANARY}</think>'))},
    **{f"text call {index}": _said(text) for index, text in enumerate(
        ("<|python_tag|>evaluate.call(" * 4_000, "[TOOL_CALLS][" * 7_000, "[TOOL_CALLS]evaluate{" * 4_000, "<tool_call>`" * 7_000,
         "<|tool_call>call:evaluate{" + "a:" * 40_000, "<｜tool▁call▁begin｜>evaluate<｜tool▁sep｜>{" * 3_000, "~~~\n" * 20_000,
         f"<function=evaluate><parameter=expression>{CANARY}", '<invoke name="evaluate">' * 3_000))},
    **{f"answer {index}": _said(text) for index, text in enumerate(
        ("#### \u22125", "#### 1/2", "\\boxed{" * 3_000, "\\frac" * 9_000, "#### " * 20_000, "1/" * 40_000, "#### 9e999", "#### 2^300",
         "#### \u00bd", "1{,}" * 20_000))},
    "failed behind 200": json.dumps({"error": {"message": CANARY}}).encode(),
    **{f"ended by {reason}": json.dumps({"choices": [{"message": {"content": CANARY}, "finish_reason": reason}]}).encode()
       for reason in ("error", "abort", "cancelled", "ERROR")},
    "calls without ids": _calling(*[{"function": {"name": "evaluate", "arguments": None}}] * 50),
    "calls with one id": _calling(*[tool_call("evaluate", {"expression": "1"}, "same")] * 50),
    "null parts": json.dumps(completion([{"type": "text", "text": None}, None, {}, "x", {"type": "thinking", "thinking": [CANARY]}])).encode(),
    "stream with an error": _stream({"content": CANARY}) + b'data: {"error": {"message": "x"}}\n\n',
    "stream of comments": b": ping\n\n" * 20_000 + _stream({"content": "#### 2"}),
    "stream of nameless calls": _stream(*[{"tool_calls": [{"function": {"arguments": "{"}}]}] * 3_000),
    "stream of calls without an index": _stream(*[{"tool_calls": [{"function": {"name": "evaluate", "arguments": "{}"}}]}] * 3_000),
    "stream": _stream({"content": CANARY}, {"content": " #### 2"}),
    "stream of nothing": b"data: [DONE]",
    "stream cut off": _stream({"content": CANARY})[:-30],
    "stream of lines": b"data:\n" * 10_000,
    "stream of wrong choices": b'data: {"choices": 5}\n\ndata: {"choices": "ab"}\n\ndata: {"choices": [[]]}\n',
    **{f"stream delta {index}": _stream(value) for index, value in enumerate(WRONG)},
    **{f"stream content {index}": _stream({"content": "a"}, {"content": value}, {"content": "b"}) for index, value in enumerate(WRONG)},
    **{f"stream index {index}": _stream({"tool_calls": [{"index": value, "function": {"name": "evaluate"}}]}) for index, value in enumerate(WRONG)},
    **{f"stream calls {index}": _stream({"tool_calls": value}) for index, value in enumerate(WRONG)},
    "not UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "gzip": gzip.compress(_said(CANARY)),
    "HTML": f"<html>{CANARY}</html>".encode(),
}  # fmt: skip
