from __future__ import annotations

import json

import pytest

from rollout.contract import parse_json, parse_rollout, prefers_async, validate_rollout
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


# --- other policies than a job's --------------------------------------------------------------------

BASE = {
    "instance": {},
    "metadata": {"job_arn": "", "trajectory_id": "t", "endpoint": ""},
    "base_url": "https://gateway.example.com/v1",
}


def test_a_key_is_in_no_dump_and_no_error():
    request = validate_rollout({**BASE, "apiKey": "sk-secret"})
    assert request.api_key == "sk-secret"
    assert "sk-secret" not in f"{request!r} {request.model_dump()} {request.model_dump_json()}"
    for wrong in ("sk-secret\n", "sk secret", "", "ü-secret", "s" * 4097):
        with pytest.raises(ContractViolation) as caught:
            validate_rollout({**BASE, "api_key": wrong})
        assert "secret" not in f"{caught.value.detail} {caught.value.facts}"


def test_a_rollout_has_one_policy():
    for others in (
        {"model_endpoint": "a"},
        {"training_session": "b"},
        {"base_url": None, "model_endpoint": "a", "trainingSession": "b"},
        {"base_url": None, "api_key": "k"},
    ):
        with pytest.raises(ContractViolation):
            validate_rollout({**BASE, **others})


def session(**config):
    known = {"base_url": "https://gateway.example.com/v1", "model_id": "m", "api_key": "sid"}
    return {"question": "1+1?", "answer": "2", "_config": {**known, **config}}


def test_a_sessions_payload_is_a_rollout_without_a_job():
    envelope = {"version": 1, "operation": "start", "invocation_id": "abc", "background": True}
    request = validate_rollout({**session(temperature=0.5), "_agentcore_runtime": envelope})
    assert request.instance == {"question": "1+1?", "answer": "2"}
    assert (request.metadata.job_arn, request.metadata.trajectory_id) == ("", "abc")
    assert (request.base_url, request.api_key, request.model_name) == (
        "https://gateway.example.com/v1", "sid", "m",
    )  # fmt: skip
    assert request.inference_params.temperature == 0.5
    assert request.inference_params.max_tokens is None


def test_a_session_without_an_envelope_is_told_apart_by_what_it_sends():
    first, again, other = (
        validate_rollout(session(api_key=key)).metadata.trajectory_id for key in ("a", "a", "b")
    )
    assert first == again != other
    assert "a" * 8 not in first


@pytest.mark.parametrize(
    "document",
    [
        {"_config": 3},
        {"_config": {}},
        {"_config": {"base_url": ["x"]}},
        {**session(), "_agentcore_runtime": []},
        {**session(), "_agentcore_runtime": {"operation": "get", "invocation_id": "abc"}},
        {**session(), "_agentcore_runtime": {"invocation_id": 3}},
        session(temperature="warm"),
        session(api_key=3),
    ],
)
def test_a_session_that_cannot_be_read_is_the_callers_mistake(document):
    with pytest.raises(ContractViolation):
        validate_rollout(document)
