"""Requests that reach a gateway without a socket."""

from __future__ import annotations

import httpx
import pytest

from devkit.emulator.gateway import Gateway, InProcessTransport


def client_of(handler):
    transport = InProcessTransport(Gateway(lambda: handler))
    return httpx.Client(transport=transport, base_url="http://127.0.0.1")


def test_the_handler_reads_a_proxy_event_and_its_answer_comes_back():
    def handler(event, context):
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
        assert (event["httpMethod"], event["path"], event["body"]) == ("POST", "/x y", "{}")
        assert context.get_remaining_time_in_millis() > 29_000
        return {"statusCode": 201, "headers": {"Location": "/z"}, "body": "ä"}

    with client_of(handler) as client:
        answer = client.post("/x%20y?a=1&a=2", content=b"{}")
    assert (answer.status_code, answer.headers["location"], answer.text) == (201, "/z", "ä")


@pytest.mark.parametrize("answer", [None, {"statusCode": "200"}, ValueError("x")])
def test_what_a_handler_does_wrong_is_a_502(answer):
    def handler(event, context):
        if isinstance(answer, Exception):
            raise answer
        return answer

    with client_of(handler) as client:
        assert client.get("/").status_code == 502
