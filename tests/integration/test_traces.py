"""Spans of rollouts, turns and reports with OpenTelemetry's own SDK; none, and no import, when off."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from devkit.emulator.faults import Fault, FaultScript
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from tests.integration.stack_calls import ASYNC, ended, post, talks

AGENT = "tests.playing:talkative"
ON = {"ROLLOUT_OTEL": "true"}


@pytest.fixture(scope="module")
def exporter():
    """As the ADOT layer does it: a provider for the process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="module")
def spans(exporter, tmp_path_factory):
    faults = FaultScript([
        Fault("UpdateReward", "status", nth=1, value=503),
        Fault("Sample", "status", nth=2, value=500, trajectory_id="sick"),
    ])  # fmt: skip
    durable = tmp_path_factory.mktemp("durable")
    with EmulatedStack(talks, agent=AGENT, faults=faults, durable=durable, environ=ON) as stack:
        assert post(stack, "inline").status_code == 200
        assert post(stack, "raises", **{"raise": True}).status_code == 200
        assert post(stack, "sick").status_code == 200
        assert post(stack, "durable", ASYNC).status_code == 202
        ended(stack, "durable")
    return exporter.get_finished_spans()


def roots(spans, trajectory_id):
    key = "gen_ai.conversation.id"
    return [span for span in spans if span.attributes.get(key) == trajectory_id]


def children(spans, root):
    return [span for span in spans if span.parent and span.parent.span_id == root.context.span_id]


def test_a_rollout_its_turns_and_its_reports_are_spans(spans):
    (root,) = roots(spans, "inline")
    assert root.name == f"invoke_agent {AGENT}"
    assert root.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert root.attributes["rollout.job_arn"] == JOB_ARN
    assert root.attributes["rollout.reward"] == 0.5
    assert root.attributes["rollout.turns"] == 3
    names = [span.name for span in children(spans, root)]
    assert names == [
        *["chat default"] * 3,
        "CompleteRollout",
        "UpdateReward",
        "UpdateReward",
    ]
    turn = children(spans, root)[0]
    assert turn.kind is trace.SpanKind.CLIENT
    assert turn.attributes["gen_ai.operation.name"] == "chat"
    assert turn.attributes["gen_ai.request.max_tokens"] == 1024
    assert turn.attributes["gen_ai.usage.output_tokens"] > 0
    assert len(turn.attributes["gen_ai.response.finish_reasons"]) == 1
    refused, taken = children(spans, root)[-2:]
    assert refused.attributes["error.type"] == "report-undelivered"
    assert refused.status.status_code is trace.StatusCode.ERROR
    assert taken.status.status_code is trace.StatusCode.UNSET


def test_failures_are_marked_by_their_type(spans):
    (raised,), (sick,) = roots(spans, "raises"), roots(spans, "sick")
    assert raised.attributes["error.type"] == "agent-raised"
    assert sick.attributes["error.type"] == "sample-failed"
    assert [s.attributes.get("error.type") for s in children(spans, sick)][1] == "sample-failed"


def test_a_turn_that_replays_has_no_second_span(spans):
    found = roots(spans, "durable")
    assert len(found) == 2  # the second invocation sends the report again
    names = [[span.name for span in children(spans, root)] for root in found]
    assert sorted(name for found in names for name in found) == [
        "CompleteRollout",
        *["UpdateReward"] * 2,
        *["chat default"] * 3,
    ]


def test_no_span_has_content(spans):
    text = " ".join(span.to_json() for span in spans)
    assert "chat" in text
    assert "canary" not in text
    assert not any(span.events for span in spans)


def test_nothing_is_traced_or_imported_when_it_is_off(exporter):
    exporter.clear()
    with EmulatedStack(talks, agent=AGENT) as stack:
        post(stack, "off")
    assert exporter.get_finished_spans() == ()
    code = "import sys, api, worker, job, sweep, closer; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_health_says_that_there_is_nothing_to_trace_with_and_rollouts_go_on(monkeypatch):
    with EmulatedStack(talks, agent=AGENT, environ=ON) as stack:
        # What find_spec looks up: a module that is known to be missing.
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        answer = httpx.get(f"{stack.url}/health")
        assert (answer.status_code, answer.json()["type"]) == (
            503,
            "urn:rollout:problem:misconfigured",
        )
        assert "OtelLayer" in answer.json()["detail"]
        assert post(stack, "untraced").json()["reward"] == 0.5
