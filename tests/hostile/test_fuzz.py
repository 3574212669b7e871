"""Generated inputs: hypothesis on the readers, and a short seeded run of the coverage-guided fuzzer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as some

from rollout.contract import parse_rollout
from rollout.errors import PolicyError, RequestError
from rollout.reply import read_reply
from rollout.service.job_event import job_request
from rollout.text_tool_calls import text_calls
from tests.building import ROOT, completion, make_settings

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=20,
)
SEEDED = settings(max_examples=300, derandomize=True, deadline=None, database=None)


@SEEDED
@given(
    JSON
    | some.fixed_dictionaries(
        {}, optional={"instance": JSON, "metadata": JSON, "inference_params": JSON}
    )
)
def test_any_json_is_a_request_or_an_error_of_ours(document):
    with suppress(RequestError):
        parse_rollout(json.dumps(document).encode())


@SEEDED
@given(
    JSON
    | some.fixed_dictionaries(
        {"prompt": JSON, "metadata": JSON}, optional={"inferenceParams": JSON}
    )
)
def test_any_event_is_a_jobs_request_or_an_error_of_ours(event):
    with suppress(RequestError):
        job_request(event, make_settings())


@SEEDED
@given(
    some.fixed_dictionaries(
        {}, optional={"content": JSON, "tool_calls": JSON, "role": JSON, "usage": JSON}
    ),
    some.booleans(),
)
def test_any_message_is_read_or_is_a_bad_reply(message, streamed):
    document = (
        {"choices": [{"delta": message}]}
        if streamed
        else {**completion(), "choices": [{"message": message}]}
    )
    try:
        reply = read_reply((b"data: " if streamed else b"") + json.dumps(document).encode())
    except PolicyError:
        return
    json.dumps(reply.message, allow_nan=False)
    assert isinstance(reply.text, str)
    assert all(
        isinstance(part, str)
        for call in reply.tool_calls
        for part in (call.id, call.name, call.arguments)
    )


@SEEDED
@given(some.text())
def test_any_text_is_searched_for_tool_calls(text):
    for around in ("{}", "<tool_call>{}</tool_call>", "<function=x>{}", "```\n{}\n```", "x(a={})"):
        assert all(call.name == "x" for call in text_calls(around.replace("{}", text), ["x"]))


def test_a_short_seeded_run_of_the_fuzzer(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.hostile.fuzz",
        "-runs=20000",
        "-seed=20261124",
        "-max_len=1000",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 20000 runs" in done.stderr


def test_the_campaign_needs_no_path_of_makes_and_no_package_called_agents(tmp_path):
    """Whatever lies where it is started: the OpenAI Agents SDK is called ``agents`` as well."""
    (tmp_path / "agents.py").write_text("raise SystemExit('a package of somebody else')\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.campaign", "--cases", "200", "--jobs", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout[done.stdout.index("{") :])["passed"] is True
