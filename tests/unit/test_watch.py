"""Dashboard and alarms watch what there is, and say what to do."""

from __future__ import annotations

import json
import re

import pytest

from devkit.emulator.template import load_template
from rollout.telemetry.metrics import BOUNDARIES, BY_BOUNDARY, METRICS
from tests.building import ROOT

TEMPLATE = load_template()
RESOURCES = TEMPLATE["Resources"]
EVERY = {n: r["Properties"] for n, r in RESOURCES.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
# One is for CodeDeploy alone, and there only while deployments are gradual.
ALARMS = {name: alarm for name, alarm in EVERY.items() if name != "DeploymentAlarm"}
PAGE = (ROOT / "docs/operations.md").read_text()
# Lambda developer guide, "Types of metrics" and "Monitoring durable functions"; API Gateway developer
# guide, "Amazon API Gateway dimensions and metrics".
AWS_METRICS = {
    "AWS/Lambda": {
        "Errors", "Throttles", "Invocations", "Duration", "ConcurrentExecutions",
        "ApproximateRunningDurableExecutions", "ApproximateRunningDurableExecutionsUtilization",
        "DurableExecutionStarted", "DurableExecutionFailed", "DurableExecutionTimedOut",
    },
    "AWS/ApiGateway": {"Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"},
}  # fmt: skip
OWN = {"service": {"Ref": "AWS::StackName"}, "agent": {"Ref": "Agent"}}
DASHBOARD = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]


def watched(alarm):
    """Namespace, name, dimensions and statistic of every metric of an alarm."""
    if "MetricName" in alarm:
        yield alarm["Namespace"], alarm["MetricName"], named(alarm), alarm["Statistic"]
    for item in alarm.get("Metrics", ()):
        if "MetricStat" in item:
            metric = item["MetricStat"]["Metric"]
            yield (
                metric["Namespace"],
                metric["MetricName"],
                named(metric),
                item["MetricStat"]["Stat"],
            )


def named(metric):
    return {item["Name"]: item["Value"] for item in metric.get("Dimensions", ())}


def exists(namespace, name):
    return name in METRICS if namespace == "Rollout" else name in AWS_METRICS[namespace]


@pytest.mark.parametrize("name", EVERY)
def test_an_alarm_watches_a_metric_that_is_sent(name):
    metrics = list(watched(EVERY[name]))
    assert metrics
    for namespace, metric, dimensions, statistic in metrics:
        assert exists(namespace, metric), metric
        assert statistic in ("Sum", "Minimum", "Maximum", "p95")
        if namespace == "Rollout":
            assert dimensions == OWN
        if namespace == "AWS/ApiGateway":
            assert dimensions["ApiName"] == RESOURCES["Api"]["Properties"]["Name"]
        if namespace == "AWS/Lambda" and metric in ("Errors", "Throttles"):
            assert RESOURCES[dimensions["FunctionName"]["Ref"]]["Type"].endswith("Function")


@pytest.mark.parametrize("name", EVERY)
def test_an_alarm_says_what_to_do_and_where_to_read_on(name):
    sentence, _, anchor = EVERY[name]["AlarmDescription"].rpartition(" docs/operations.md#")
    assert re.fullmatch(r"[A-Z].{40,}\.", sentence)
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", EVERY)
def test_an_alarms_expressions_use_its_own_metrics(name):
    alarm = EVERY[name]
    if "Metrics" not in alarm:
        return
    ids = {item["Id"] for item in alarm["Metrics"] if "MetricStat" in item}
    returned = [item for item in alarm["Metrics"] if item.get("ReturnData", True)]
    assert len(returned) == 1  # CloudWatch takes exactly one result
    expression = returned[0]["Expression"]
    expression = expression["Fn::Sub"] if isinstance(expression, dict) else expression
    parameters = re.findall(r"\$\{(\w+)\}", expression)
    assert set(parameters) <= set(TEMPLATE["Parameters"])
    words = set(re.findall(r"\b[a-z]\w*", re.sub(r"\$\{\w+\}", "1", expression)))
    assert words <= ids
    assert words == ids or "METRICS()" in expression


def test_a_bad_deployment_is_seen_while_a_tenth_of_the_callers_have_it():
    alarm = EVERY["DeploymentAlarm"]
    periods = {m["MetricStat"]["Period"] for m in alarm["Metrics"] if "MetricStat" in m}
    assert (periods, alarm["EvaluationPeriods"], alarm["Threshold"]) == ({60}, 1, 0)
    first = TEMPLATE["Parameters"]["DeploymentType"]["Default"]
    assert re.fullmatch(r"Canary10Percent(5|10)Minutes", first)


def test_missing_data_is_a_fault_only_where_data_always_comes():
    missing = {name: alarm["TreatMissingData"] for name, alarm in ALARMS.items()}
    assert {name for name, how in missing.items() if how == "breaching"} == {"HealthAlarm"}
    assert set(missing.values()) == {"breaching", "notBreaching"}


def test_alarms_tell_the_topic_if_there_is_one():
    for alarm in ALARMS.values():
        for actions in ("AlarmActions", "OKActions"):
            condition, topic, _ = alarm[actions]["Fn::If"]
            assert (condition, topic) == ("HasAlarmTopic", [{"Ref": "AlarmTopic"}])


def test_what_the_issue_asks_for_is_watched():
    seen = {metric for alarm in ALARMS.values() for _, metric, _, _ in watched(alarm)}
    assert seen >= {
        "RolloutsFailed", "RolloutsFloored", "ReportRetries", "RolloutsClosed", "Throttles", "Healthy",
        "ApproximateRunningDurableExecutionsUtilization", "InlineSeconds", "DurableSeconds",
    }  # fmt: skip


def widgets():
    values = {"AWS::Region": "us-west-2", "AWS::StackName": "rollout-dev", "Agent": "a:b"}
    known = {**values, **dict.fromkeys(RESOURCES, "name")}

    def value(match):
        name = match.group(1).removesuffix(".Arn")
        assert name in known, name
        return known[name]

    return json.loads(re.sub(r"\$\{([^}]+)\}", value, DASHBOARD))["widgets"]


def test_the_dashboard_shows_metrics_that_are_sent():
    shown = set()
    for widget in widgets():
        for metric in widget["properties"].get("metrics", ()):
            namespace, name, *rest = [part for part in metric if isinstance(part, str)]
            assert exists(namespace, name), name
            assert len(rest) % 2 == 0
            dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
            if namespace == "Rollout":
                shown.add(name)
                assert (dimensions["service"], dimensions["agent"]) == ("rollout-dev", "a:b")
                assert set(dimensions) <= {"service", "agent", "boundary"}
                if "boundary" in dimensions:
                    assert name in BY_BOUNDARY
                    assert dimensions["boundary"] in BOUNDARIES
    assert shown == set(METRICS) - {"Healthy"}  # that one is an alarm


def test_the_dashboards_widgets_do_not_overlap_and_it_lists_every_alarm():
    places = set()
    for widget in widgets():
        assert widget["x"] + widget["width"] <= 24
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not places & cells
        places |= cells
    assert set(re.findall(r"\$\{(\w+)\.Arn\}", DASHBOARD)) == set(ALARMS)


def test_the_page_names_every_metric_and_its_sums_are_right():
    for name in METRICS:
        assert f"`{name}`" in PAGE
    customs = len(METRICS) + len(BY_BOUNDARY) * len(BOUNDARIES)
    assert f"up to {customs} custom metrics {customs * 0.30:.2f}" in PAGE
    alarmed = sum(len(list(watched(alarm))) for alarm in ALARMS.values())
    assert f"{alarmed} metrics in\nalarms {alarmed * 0.10:.2f}" in PAGE
    a_job = len(METRICS) - 1
    assert f"adds up to {a_job} metrics, {a_job * 0.30:.2f}" in PAGE
    for column in (-3, -2):
        lines = [line.split("|") for line in PAGE.split("| line | formula")[1].splitlines()[2:]]
        values = [cells[column].strip(" *") for cells in lines if len(cells) > 4]
        *parts, total = [float(value) for value in values if value]
        assert total == round(sum(parts), 2)
