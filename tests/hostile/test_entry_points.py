"""The corpus through the real handlers: a documented answer to everything, and nobody is connected to."""

from __future__ import annotations

import json

import pytest

from devkit.emulator.gateway import proxy_event
from rollout import trust
from rollout.contract import RolloutRequest
from rollout.errors import Untrusted
from tests.building import JOB_ARN, completion, make_body, make_settings
from tests.hostile import corpus
from tests.hostile.campaign import HOSTS, campaign
from tests.hostile.corpus import CANARY, INSTANCE
from tests.hostile.endpoints import crafted
from tests.hostile.entry_points import AGENTS, EntryPoints
from tests.hostile.watch import outside, sockets


@pytest.fixture
def entry_points(monkeypatch):
    """The handlers; whatever they connect to, ask or log beyond what they may fails the test."""
    import os

    from rollout.aws import clients
    from rollout.settings import settings

    before = dict(os.environ)
    with sockets() as seen:
        running = EntryPoints()
        yield running
    running.aws.remove()
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()
    clients.forget()
    assert seen == set()
    assert set(running.aws.hosts) <= HOSTS


@pytest.mark.parametrize("name", corpus.BODIES)
def test_a_nasty_body_gets_the_answer_it_deserves(entry_points, capfd, name):
    statuses, make = corpus.BODIES[name]
    entry_points.aws.reply = corpus.REPLIES["stream"]
    wrong, _ = entry_points.post(make())
    assert wrong is None
    assert entry_points.answer["statusCode"] in statuses, entry_points.answer["body"][:300]
    assert CANARY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("encoded", [True, False, None])
def test_a_lie_about_base64_is_an_answer(entry_points, encoded):
    for body in (None, "", "=", "\u00e9", "\ud800", "e30=", "{}", "x" * 7_000_000):
        event = {**proxy_event("POST", "/rollout"), "body": body, "isBase64Encoded": encoded}
        assert entry_points.api(event)[0] is None
        assert entry_points.answer["statusCode"] in (400, 413, 422)


def test_paths_and_queries_of_every_kind_get_a_documented_answer(entry_points, capfd):
    for method in ("GET", "POST", "DELETE"):
        for path in corpus.PATHS:
            for query in corpus.QUERIES:
                event = {**proxy_event(method, path), "queryStringParameters": query}
                event["multiValueQueryStringParameters"] = {
                    k: [v] for k, v in (query or {}).items()
                } or None
                assert entry_points.api(event)[0] is None, (method, path[:60], str(query)[:60])
                assert entry_points.answer["statusCode"] in (400, 404, 405), (method, path[:60])
    assert CANARY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("path", ["/rollouts/a\nb", "/rollouts/"])
def test_a_path_that_is_no_rollouts_is_not_found_rather_than_not_allowed(entry_points, path):
    entry_points.api(proxy_event("GET", path))
    assert entry_points.answer["statusCode"] == 404


@pytest.mark.parametrize(
    ("job_arn", "identifier"), [(JOB_ARN, "x" * 3000), ("x" * 3000, "t"), (JOB_ARN, "\ud800")]
)
def test_a_name_that_no_rollout_can_have_is_not_found(entry_points, job_arn, identifier):
    event = proxy_event("GET", f"/rollouts/{identifier}")
    event["queryStringParameters"] = {"job_arn": job_arn}
    entry_points.api(event)
    assert entry_points.answer["statusCode"] == 404


def test_headers_of_every_kind_get_a_documented_answer(entry_points, capfd):
    body = json.dumps(make_body(INSTANCE)).encode()
    entry_points.aws.reply = corpus.REPLIES["stream"]
    for headers in corpus.HEADERS:
        for many in (None, {k: [v, v] for k, v in (headers or {}).items()}):
            event = proxy_event("POST", "/rollout", body=body)
            event |= {"headers": headers, "multiValueHeaders": many}
            assert entry_points.api(event)[0] is None
            assert entry_points.answer["statusCode"] in (200, 202)
    assert CANARY not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "key",
    [
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "requestContext",
        "resource",
        "isBase64Encoded",
        "pathParameters",
        "stageVariables",
    ],
)
def test_an_event_without_one_of_its_parts_gets_an_answer(entry_points, key):
    for method, path in (("POST", "/rollout"), ("GET", "/health"), ("GET", "/rollouts/x")):
        event = proxy_event(method, path)
        del event[key]
        assert entry_points.api(event)[0] is None


@pytest.mark.parametrize(
    "event", corpus.JOBS, ids=lambda event: str(event)[:40].encode("ascii", "replace").decode()
)
def test_a_job_event_of_any_shape_is_answered_with_a_document(entry_points, capfd, event):
    assert entry_points.job(event)[0] is None
    assert CANARY not in "".join(capfd.readouterr())


@pytest.mark.parametrize("agent", AGENTS)
def test_a_nasty_reply_ends_the_rollout_as_data(entry_points, capfd, agent):
    instance = entry_points.agent(agent)
    for name, reply in corpus.REPLIES.items():
        # Read the same way whoever asked, or large.
        if name.startswith(("wrong at", "5 MB", "10 MB")) and "calculator" not in agent:
            continue
        entry_points.aws.reply = reply
        wrong, _ = entry_points.post(json.dumps(make_body(instance)).encode())
        assert wrong is None, name
        assert entry_points.answer["statusCode"] == 200, name
        result = json.loads(entry_points.answer["body"])
        assert (result["status"] == "ready") != ("error" in result), name
        assert result.get("error", {}).get("boundary") in (None, "policy", "deadline"), (
            name,
            result["error"],
        )
    assert CANARY not in "".join(capfd.readouterr())


def test_an_output_too_large_for_lambdas_answer_is_left_out_and_kept(entry_points):
    entry_points.agent("tests.hostile.agents_of_tests:recovering")
    entry_points.aws.reply = json.dumps(completion('"' * 2_900_000)).encode()
    assert entry_points.post(json.dumps(make_body(INSTANCE)).encode())[0] is None
    result = json.loads(entry_points.answer["body"])
    assert (result["status"], result["output"]) == ("ready", None)


def test_no_crafted_endpoint_is_trusted():
    settings, endpoints = make_settings(), list(crafted())
    assert len(endpoints) >= 10_000
    with sockets() as seen:
        for url in endpoints:
            request = RolloutRequest.model_validate(make_body(endpoint="x"))
            request.metadata.endpoint = url
            with pytest.raises(Untrusted):
                trust.check(request, settings)
    assert outside(seen) == set()


def test_a_crafted_endpoint_is_refused_before_anything_is_asked(entry_points):
    for url in list(crafted())[::20]:
        body = json.dumps(make_body(INSTANCE, endpoint=url)).encode()
        assert entry_points.post(body)[0] is None
        assert entry_points.answer["statusCode"] in ((403,) if "\ud800" not in url else (400,)), url
    assert not entry_points.aws.hosts


def test_the_socket_hook_sees_what_it_is_there_to_see():
    import socket

    with sockets() as seen:
        socket.getaddrinfo("127.0.0.1", 9)
        with socket.socket() as caller, pytest.raises(OSError):  # noqa: PT012 - both belong together
            caller.settimeout(0.2)
            caller.connect(("127.0.0.1", 9))
    assert outside(seen, "127.0.0.1:9") == set()
    assert outside(seen) == {
        ("socket.getaddrinfo", "127.0.0.1:9"),
        ("socket.connect", "127.0.0.1:9"),
    }


def test_a_short_campaign_finds_nothing():
    summary = campaign(1_000, seed=20261124, jobs=1, minutes=5, progress=lambda _: None)
    assert summary["passed"], summary
    assert summary["cases"] == 1_000
    assert summary["log_lines"] > 500  # the log that was searched is the log that is written
