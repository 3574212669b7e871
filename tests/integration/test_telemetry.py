"""What the handlers print: ids on every line, metrics that CloudWatch takes, and no content anywhere."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import time
from contextlib import contextmanager, redirect_stdout

import httpx
import pytest

from devkit.emulator.faults import parse_faults
from devkit.emulator.gateway import LambdaContext, environment_of, proxy_event
from devkit.emulator.lambda_service import InProcess
from devkit.emulator.stack import HANDLERS, JOB_ARN, EmulatedStack
from rollout.telemetry import logs
from rollout.telemetry.metrics import BOUNDARIES, METRICS, NAMESPACE
from tests.building import ROOT
from tests.integration.stack_calls import ASYNC, ROW, ended, post, talks

ENVIRON = {"POWERTOOLS_METRICS_DISABLED": "false", "ROLLOUT_JOB_METRICS": "lo*,never"}


@contextmanager
def printing():
    """What the functions print meanwhile, line by line."""
    sink, handler = io.StringIO(), logs.logger().handlers[0]
    level, stream = logs.logger().log_level, handler.stream
    logs.logger().setLevel("DEBUG")
    handler.stream = (
        sink  # setStream would flush what it had, which may have ended with another test
    )
    try:
        with redirect_stdout(sink):
            yield lambda: sink.getvalue().splitlines()
    finally:
        logs.logger().setLevel(level)
        handler.stream = stream


def until(found, seconds=30):
    limit = time.monotonic() + seconds
    while not found() and time.monotonic() < limit:
        time.sleep(0.05)
    assert found()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """All lines of a day in a stack's life, and of each the rollout."""
    faults = parse_faults("UpdateReward@1:status=503,Sample@2:status=500")
    faults.faults[1] = type(faults.faults[1])(
        "Sample", "status", nth=2, value=500, trajectory_id="sick"
    )
    worker = InProcess(environment_of(HANDLERS / "worker.py"))
    with (
        printing() as lines,
        EmulatedStack(
            talks,
            agent="tests.playing:talkative",
            faults=faults,
            durable=tmp_path_factory.mktemp("durable"),
            invoke=worker,
            environ=ENVIRON,
        ) as stack,
    ):
        assert post(stack, "inline").json()["reward"] == 0.5
        assert post(stack, "inline").status_code == 200  # the same again
        assert post(stack, "raises", **{"raise": True}).json()["error"]["boundary"] == "agent"
        assert post(stack, "sick").json()["error"]["boundary"] == "policy"
        assert httpx.post(f"{stack.url}/rollout", content=b'{"canary-body').status_code == 400
        body = stack.request("untrusted", ROW)
        body["metadata"]["endpoint"] = "https://canary-host.example"
        assert httpx.post(f"{stack.url}/rollout", json=body).status_code == 403
        assert post(stack, "durable", ASYNC).status_code == 202
        ended(stack, "durable")
        assert post(stack, "doomed", ASYNC, **{"raise": True}).status_code == 202
        ended(stack, "doomed")
        stack.simulator.hand_out(JOB_ARN, "job", ROW)
        metadata = {"jobArn": JOB_ARN, "rolloutId": "job", "endpoint": stack.simulator.url}
        job = environment_of(HANDLERS / "job.py")()
        event = {"prompt": json.dumps(ROW), "metadata": metadata, "inferenceParams": {}}
        assert job(event, LambdaContext()) == {}
        ended(stack, "job")
        environment_of(HANDLERS / "sweep.py")()({}, LambdaContext())
        logs.begin(LambdaContext())
        try:
            raise ValueError("canary-bug")
        except ValueError as bug:
            logs.crashed(bug)
        until(lambda: sum('"DurableSeconds"' in line for line in lines()) == 3)
        yield [json.loads(line) for line in lines()]


def of(spoken, trajectory_id):
    return [line for line in spoken if line.get("trajectory_id") == trajectory_id]


def numbers(lines, name):
    """The values of a metric over EMF lines."""
    values = [line[name] for line in lines if "_aws" in line and name in line]
    return [
        number for value in values for number in (value if isinstance(value, list) else [value])
    ]


def test_no_line_has_content(spoken):
    assert len(spoken) > 20
    assert "canary" not in json.dumps(spoken)


def test_every_line_about_a_rollout_has_its_ids(spoken):
    inline = of(spoken, "inline") + of(spoken, "raises") + of(spoken, "sick")
    durable = of(spoken, "durable") + of(spoken, "doomed") + of(spoken, "job")
    assert len(inline) >= 7
    assert len(durable) >= 15
    for line in inline + durable:
        assert line["job_arn"] == JOB_ARN
        assert line["request_id"]
    played = [line for line in durable if line.get("message") != "rollout accepted"]
    for line in durable:
        if line.get("message", "").startswith("rollout") or "_aws" in line:
            assert re.fullmatch("[0-9a-f]{64}", line["execution"]), line
    assert sum(bool(line.get("execution_arn")) for line in played) >= 6
    # Whatever has no ids is about no rollout.
    rest = [line for line in spoken if not line.get("trajectory_id")]
    assert {line.get("message") for line in rest if "_aws" not in line} == {
        "request refused",
        "sweep ended",
        "unexpected error",
    }
    assert [set(METRICS) & set(line) for line in rest if "_aws" in line] == [{"Healthy"}]


def test_the_ids_of_one_invocation_do_not_stay_for_the_next(spoken):
    (malformed,) = [line for line in spoken if line.get("error_type") == "malformed-json"]
    assert "trajectory_id" not in malformed
    (untrusted,) = [line for line in spoken if line.get("error_type") == "untrusted"]
    assert untrusted["trajectory_id"] == "untrusted"


def test_libraries_below_are_silent_though_the_runtime_says_debug():
    """Lambda's runtime puts a handler and the function's level on the root logger."""
    sink, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(sink), root.level
    handler.addFilter(lambda record: record.name != logs.logger().name)  # as Powertools does
    with EmulatedStack(talks, agent="tests.playing:talkative") as stack:
        body = json.dumps(stack.request("debug", ROW)).encode()
        api = environment_of(HANDLERS / "api.py")()
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            answer = api(proxy_event("POST", "/rollout", body=body), LambdaContext())
            assert answer["statusCode"] == 200
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
    assert sink.getvalue() == ""


UNITS = {"Count", "Seconds", "None"}


def check_emf(line):
    """The rules of CloudWatch's specification that a line can break."""
    assert len(json.dumps(line)) < 256_000
    about = line["_aws"]
    assert abs(about["Timestamp"] / 1000 - time.time()) < 600
    assert about["CloudWatchMetrics"]
    for directive in about["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        for dimensions in directive["Dimensions"]:
            assert 1 <= len(dimensions) <= 30
            for name in dimensions:
                assert isinstance(line[name], str)
                assert 1 <= len(line[name]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric["Unit"] in UNITS
            values = line[metric["Name"]]
            values = values if isinstance(values, list) else [values]
            assert 1 <= len(values) <= 100
            assert all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)


def test_cloudwatch_takes_the_metrics(spoken):
    lines = [line for line in spoken if "_aws" in line]
    assert len(lines) >= 10
    for line in lines:
        check_emf(line)
        assert line["service"] == "rollout"
        assert line["agent"] == "tests.playing:talkative"


def test_every_metric_there_is_has_its_unit_and_no_other_is_printed(spoken):
    published = {
        metric["Name"]: metric["Unit"]
        for line in spoken
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ())
        for metric in directive["Metrics"]
    }
    assert set(published) <= set(METRICS)
    assert all(METRICS[name] == unit for name, unit in published.items())
    assert set(METRICS) - set(published) == {"ReportsPending", "RolloutsClosed"}  # see below


def test_a_rollout_is_counted_once_with_what_it_took(spoken):
    lines = of(spoken, "inline")
    assert sum(line.get("message") == "rollout ended" for line in lines) == 2
    assert numbers(lines, "RolloutsAccepted") == numbers(lines, "RolloutsCompleted") == [1]
    assert numbers(lines, "RolloutsFailed") == numbers(lines, "InlineOverruns") == [0]
    assert numbers(lines, "Reward") == [0.5]
    assert numbers(lines, "Turns") == [3]
    assert numbers(lines, "TextToolCalls") == [1]
    assert len(numbers(lines, "SampleLatency")) == 3
    assert numbers(lines, "TokensIn")[0] > 0
    assert numbers(lines, "TokensOut")[0] > 0
    assert numbers(lines, "ReportRetries") == [1]
    durable = of(spoken, "durable")
    for name in ("RolloutsAccepted", "RolloutsCompleted", "ReportRetries"):
        assert numbers(durable, name) == [1], name
    assert numbers(durable, "Turns") == [3]
    assert numbers(durable, "Replays") == [1]  # the report was sent again by a later invocation
    assert sum(line.get("message") == "rollout resumed" for line in durable) == 1


def test_failures_are_counted_by_boundary(spoken):
    failed = [line for line in spoken if any(numbers([line], "RolloutsFailed"))]
    assert {line["trajectory_id"]: line["boundary"] for line in failed} == {
        "raises": "agent",
        "sick": "policy",
        "doomed": "agent",
    }
    for line in failed:
        total, by_boundary = line["_aws"]["CloudWatchMetrics"]
        assert by_boundary["Dimensions"] == [["service", "agent", "boundary"]]
        assert [metric["Name"] for metric in by_boundary["Metrics"]] == ["RolloutsFailed"]
        assert "RolloutsFailed" in [metric["Name"] for metric in total["Metrics"]]


def test_dimensions_take_few_values(spoken):
    for line in (line for line in spoken if "_aws" in line):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                assert set(dimensions) <= {"service", "agent", "job", "boundary"}
        if "job_arn" in line:
            assert line["job"] == "lo*"
        if "boundary" in line:
            assert line["boundary"] in BOUNDARIES


def test_an_agents_own_powertools_logger_carries_the_ids(tmp_path):
    agent = tmp_path / "chatty.py"
    agent.write_text(
        "from aws_lambda_powertools import Logger\n"
        "from rollout import agent\n"
        "logger = Logger(service='mine')\n"
        "@agent\n"
        "def speaks(episode):\n"
        "    episode.sample([{'role': 'user', 'content': 'x'}])\n"
        "    logger.warning('half way')\n"
        "    return 1.0\n"
    )
    with pytest.MonkeyPatch.context() as patch, printing() as lines:
        patch.syspath_prepend(str(tmp_path))
        with EmulatedStack(
            talks, agent="chatty:speaks", environ={"POWERTOOLS_LOG_LEVEL": "INFO"}
        ) as stack:
            assert post(stack, "mine").json()["reward"] == 1.0
    (said,) = [json.loads(line) for line in lines() if "half way" in line]
    assert (said["job_arn"], said["trajectory_id"]) == (JOB_ARN, "mine")


def test_metrics_can_be_switched_off():
    off = {**ENVIRON, "POWERTOOLS_METRICS_DISABLED": "true"}
    with (
        printing() as lines,
        EmulatedStack(talks, agent="tests.playing:talkative", environ=off) as stack,
    ):
        post(stack, "off")
    assert [json.loads(line)["message"] for line in lines()] == ["rollout ended"]


def test_a_report_given_up_counts_when_the_sweep_delivers_it():
    def pending(line):
        return numbers([line], "ReportsPending") == [1]

    faults = parse_faults("CompleteRollout:status=503")
    environ = {**ENVIRON, "ROLLOUT_INLINE_BUDGET": "8", "ROLLOUT_REPORT_MARGIN": "2"}
    with (
        printing() as lines,
        EmulatedStack(
            talks, agent="tests.playing:talkative", faults=faults, environ=environ
        ) as stack,
    ):
        assert post(stack, "late").status_code == 503
        assert numbers(map(json.loads, lines()), "RolloutsCompleted") == []
        (given_up,) = filter(pending, map(json.loads, lines()))
        assert numbers([given_up], "ReportRetries")[0] > 0
        assert numbers([given_up], "Turns") == [3]
        faults.faults.clear()
        assert post(stack, "late").status_code == 200
        said = of([json.loads(line) for line in lines()], "late")
    assert numbers(said, "RolloutsCompleted") == [1]
    assert numbers(said, "Turns") == [3]
    assert numbers(said, "Reward") == [0.5]


def one_rollout(environ=(), policy=talks, faults="", **instance):
    """The lines of one inline rollout on a stack of its own."""
    with (
        printing() as lines,
        EmulatedStack(
            policy,
            agent="tests.playing:talkative",
            faults=parse_faults(faults),
            environ={**ENVIRON, **dict(environ)},
        ) as stack,
    ):
        post(stack, "one", **instance)
    return [json.loads(line) for line in lines()]


def test_an_inline_rollout_that_runs_out_of_time_is_an_overrun():
    def slow(asked):
        time.sleep(2)
        return talks(asked)

    said = one_rollout({"ROLLOUT_INLINE_BUDGET": "3", "ROLLOUT_REPORT_MARGIN": "1.5"}, slow)
    assert numbers(said, "InlineOverruns") == numbers(said, "RolloutsFailed") == [1]
    assert {line["boundary"] for line in said if "_aws" in line} == {"deadline"}


def test_a_floor_counts_as_completed_and_says_its_boundary():
    said = one_rollout({"ROLLOUT_FAILURE_POLICY": "agent=floor:0"}, **{"raise": True})
    assert numbers(said, "RolloutsCompleted") == numbers(said, "RolloutsFloored") == [1]
    assert numbers(said, "RolloutsFailed") == [0]
    assert numbers(said, "Reward") == [0.0]
    (line,) = [line for line in said if "_aws" in line]
    assert line["boundary"] == "agent"
    assert len(line["_aws"]["CloudWatchMetrics"]) == 1  # by boundary nobody would read it


def test_a_reward_the_trainer_refuses_is_a_failure_of_the_trainer():
    said = one_rollout(faults="UpdateReward:status=409")
    assert numbers(said, "RolloutsFailed") == [1]
    assert numbers(said, "Reward") == []
    assert {line["boundary"] for line in said} == {"trainer"}


def test_a_rollout_whose_process_died_is_counted_as_closed(tmp_path):
    def dies(event):
        raise RuntimeError("canary-crash")

    with (
        printing() as lines,
        EmulatedStack(
            talks,
            agent="tests.playing:talkative",
            durable=tmp_path,
            invoke=dies,
            backoff=1,
            environ=ENVIRON,
        ) as stack,
    ):
        post(stack, "dead", ASYNC)
        ended(stack, "dead")
        until(lambda: any('"RolloutsClosed"' in line for line in lines()))
        said = of([json.loads(line) for line in lines() if line.startswith("{")], "dead")
    (line,) = [line for line in said if line.get("message") == "rollout closed"]
    assert line["level"] == "WARNING"
    assert re.fullmatch("[0-9a-f]{64}", line["execution"])
    assert line["execution_arn"]
    assert numbers(said, "RolloutsClosed") == numbers(said, "RolloutsFailed") == [1]
    assert [line["boundary"] for line in said if "_aws" in line and "boundary" in line] == [
        "platform"
    ]
    assert "canary" not in json.dumps(said)


def test_the_sweep_says_whether_the_stack_is_healthy():
    for agent, healthy in (("tests.playing:talkative", 1), ("tests.playing:nobody", 0)):
        with printing() as lines, EmulatedStack(talks, agent=agent, environ=ENVIRON):
            environment_of(HANDLERS / "sweep.py")()({}, LambdaContext())
        said = [json.loads(line) for line in lines()]
        assert numbers(said, "Healthy") == [healthy]


def test_a_long_rollout_prints_more_lines_than_one_rather_than_too_many_values():
    from rollout.telemetry.metrics import emit
    from tests.building import make_settings

    with redirect_stdout(io.StringIO()) as sink:
        emit(
            {"SampleLatency": [0.1] * 250, "Turns": 250},
            make_settings(),
            ids={"trajectory_id": "t"},
        )
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [len(line["SampleLatency"]) for line in lines] == [99, 99, 52]
    assert numbers(lines, "Turns") == [250]
    for line in lines:
        check_emf(line)


def test_a_thousand_jobs_are_no_more_dimension_values_than_the_setting_names():
    from rollout.telemetry.metrics import emit
    from tests.building import make_settings

    settings = make_settings(job_metrics="nightly-*,exp")
    with redirect_stdout(io.StringIO()) as sink:
        for number in range(1000):
            name = f"nightly-{number}" if number % 2 else f"adhoc-{number}"
            emit(
                {"Turns": 1},
                settings,
                ids={"job_arn": f"arn:aws:sagemaker:r:1:job/AgentRFT/{name}"},
            )
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert {line["job"] for line in lines} == {"nightly-*", "other"}


# --- the queries of the operations page ------------------------------------------------------------

WORDS = {
    "fields", "filter", "stats", "sort", "desc", "asc", "limit", "by", "as", "and", "or", "not", "like",
    "in", "count", "sum", "avg", "min", "max", "pct", "bin", "ispresent", "count_distinct", "dedup",
}  # fmt: skip


def queries():
    page = (ROOT / "docs/operations.md").read_text()
    return re.findall(r"```insights\n(.*?)```", page, re.DOTALL)


def fields_of(query):
    """The fields a Logs Insights query reads: its words without strings, functions and own aliases."""
    bare = re.sub(r'"[^"]*"|/[^/\n]+/', " ", query)
    aliases = set(re.findall(r"\bas (\w+)", bare))
    words = set(re.findall(r"@?[A-Za-z_][\w.]*", bare))
    return {w for w in words if w not in WORDS | aliases and not re.fullmatch(r"\d+[smhd]?", w)}


def test_every_field_of_the_documented_queries_is_in_the_lines(spoken):
    known = {name for line in spoken for name in line} | {"@timestamp", "@message", "m", "h"}
    known |= {"was"}  # of a line that only the closer and the sweep write; tested above
    # Logs Insights names the elements of a list so.
    known |= {f"{n}.0" for line in spoken for n, value in line.items() if isinstance(value, list)}
    assert len(queries()) >= 6
    for query in queries():
        assert fields_of(query) - known == set(), query
        for message in re.findall(r'message = "([^"]*)"', query):
            source = (ROOT / "layers/rollout/python/rollout/telemetry/logs.py").read_text()
            assert f'"{message}"' in source, message
