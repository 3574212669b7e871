from __future__ import annotations

import json

import pytest

from rollout.contract import parse_json, parse_rollout, prefers_async
from rollout.errors import ContractViolation, MalformedRequest
from tests.building import make_body


def test_snake_and_camel_case_read_the_same():
    snake = make_body()
    snake["inference_params"] = {"temperature": 0.5, "max_tokens": 7, "top_p": 0.9}
    camel = {
        "instance": snake["instance"],
        "metadata": {
            "jobArn": snake["metadata"]["job_arn"],
            "rolloutId": snake["metadata"]["trajectory_id"],
            "endpoint": snake["metadata"]["endpoint"],
            "region": snake["metadata"]["region"],
        },
        "inferenceParams": {"temperature": 0.5, "maxTokens": 7, "topP": 0.9},
    }
    read = parse_rollout(json.dumps(camel).encode())
    assert read == parse_rollout(json.dumps(snake).encode())
    assert set(read.model_dump()["metadata"]) == {"job_arn", "trajectory_id", "endpoint", "region"}


def test_unknown_fields_are_ignored():
    body = {**make_body(), "later": 1}
    body["metadata"]["later"] = 2
    assert parse_rollout(json.dumps(body).encode()).instance == body["instance"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"not json",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": 1} trailing',
    ],
)
def test_json_we_do_not_take(data):
    with pytest.raises(MalformedRequest):
        parse_json(data)


def test_a_duplicate_key_is_not_quoted():
    with pytest.raises(MalformedRequest) as caught:
        parse_json(b'{"the secret prompt": 1, "the secret prompt": 2}')
    assert "secret" not in caught.value.detail
    assert "duplicate key at line 1" in caught.value.detail


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda b: b.pop("instance"), "instance"),
        (lambda b: b.update(instance=[1]), "instance"),
        (lambda b: b["metadata"].pop("job_arn"), "metadata.job_arn"),
        (lambda b: b["metadata"].update(endpoint=5), "metadata.endpoint"),
        (
            lambda b: b.update(inference_params={"max_tokens": "many"}),
            "inference_params.max_tokens",
        ),
        (lambda b: b.update(metadata=None), "metadata"),
    ],
)
def test_a_violation_names_its_field(change, field):
    body = make_body()
    change(body)
    with pytest.raises(ContractViolation) as caught:
        parse_rollout(json.dumps(body).encode())
    assert caught.value.facts["errors"][0]["field"] == field


def test_a_violation_does_not_quote_the_value():
    body = make_body()
    body["metadata"]["job_arn"] = ["secret prompt"]
    with pytest.raises(ContractViolation) as caught:
        parse_rollout(json.dumps(body).encode())
    assert "secret" not in json.dumps(caught.value.facts) + caught.value.detail


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        (["respond-async", "wait=5"], True),
        (["wait=5", "Respond-Async; foo=1"], True),
        (["return=minimal, respond-async"], True),
        (['respond-async=""'], True),
        (['note="a, respond-async, b"'], False),
        (['note="\\", respond-async, \\""'], False),
        (["respond-asynchronously"], False),
        ([], False),
    ],
)
def test_a_preference_is_read_from_every_header_of_its_name(values, asked):
    assert prefers_async({"pReFer": values, "accept": ["respond-async"]}) is asked
