"""What the layer keeps of botocore: the same requests and answers from data that is cut."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import aws_lambda_powertools
import botocore
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.session import Session

from tests.building import ROOT

SOURCE = ROOT / "layers" / "dependencies" / "trim.py"
KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-west-2"}
CALLS = [
    ("dynamodb", "get_item", {"TableName": "t", "Key": {"pk": {"S": "a"}}}),
    ("dynamodb", "update_item", {"TableName": "t", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "REMOVE x"}),
    ("dynamodb", "query", {"TableName": "t", "IndexName": "open", "Limit": 3}),
    ("lambda", "invoke", {"FunctionName": "w:live", "InvocationType": "Event", "Payload": b"{}"}),
    ("lambda", "get_durable_execution", {"DurableExecutionArn": "arn:a"}),
    ("s3", "put_object", {"Bucket": "bucket", "Key": "a/b", "Body": b"x", "ContentEncoding": "gzip"}),
    ("s3", "get_object", {"Bucket": "bucket", "Key": "a/b"}),
    ("sagemakerjobruntime", "sample", {"JobArn": "arn", "TrajectoryId": "t", "Body": b"{}"}),
    ("sagemakerjobruntime", "update_reward", {"JobArn": "arn", "TrajectoryId": "t", "Rewards": [1.0], "ClientToken": "c"}),
    ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b"{}"}),
    ("bedrock-runtime", "converse", {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "a"}]}], "toolConfig": {"tools": [{"toolSpec": {"name": "v", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"tool": {"name": "v"}}}}),
    ("sagemakertrainingsessionruntime", "sample_training_session", {"trainingSessionName": "s", "contentType": "application/json", "body": b"{}"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "arn:s"}),
    ("sts", "get_caller_identity", {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory):
    """botocore's data as the layer has it, made by the layer's own build step."""
    spec = importlib.util.spec_from_file_location("trim", SOURCE)
    trim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trim)
    python = tmp_path_factory.mktemp("layer")
    whole = Path(botocore.__file__).parent / "data"
    for path in whole.iterdir():
        if path.is_file():
            (python / "botocore/data").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, python / "botocore/data")
        elif path.name in trim.SERVICES:
            shutil.copytree(path, python / "botocore/data" / path.name)
    powertools = Path(aws_lambda_powertools.__file__).parent
    shutil.copytree(powertools, python / "aws_lambda_powertools")
    trim.trim(python)
    return python / "botocore" / "data"


@pytest.mark.parametrize("package", ["event_handler", "utilities.data_classes"])
def test_a_package_that_imports_when_it_is_asked_has_every_name_of_the_whole_one(trimmed, package):
    program = f"""
import importlib, json, sys
package = importlib.import_module("aws_lambda_powertools.{package}")
before = len(sys.modules)
places = {{name: getattr(package, name).__module__ for name in package.__all__}}
print(json.dumps([before, len(sys.modules), package.__file__, places]))
try:
    package.no_such_name
except AttributeError:
    print("none")
"""
    found = []
    for path in (str(trimmed.parents[1]), ""):
        environ = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        known, none = told.stdout.splitlines()
        assert none == "none"
        found.append(json.loads(known))
    (before, after, file, places), (whole, _, other, expected) = found
    assert file != other
    assert places == expected
    assert before < whole - 20
    assert after > before


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def client_of(service, data=None):
    session = Session()
    if data is not None:

        class Layers(Loader):
            # Not a search path beside botocore's own: then endpoints would be resolved in another way.
            BUILTIN_DATA_PATH = str(data)

        session.register_component("data_loader", Layers(extra_search_paths=[]))
    return session.create_client(service, **KEYS)


def sent(client, operation, request, status=200, body=b"{}"):
    """What a call puts on the wire, without what changes from call to call, and what its answer becomes."""
    seen = {}

    def answer(request, **_):
        seen.update(
            method=request.method,
            url=request.url,
            body=request.body,
            headers=dict(request.headers.items()),
        )
        return AWSResponse(request.url, status, {"Content-Type": "application/json"}, Raw(body))

    client.meta.events.register("before-send", answer)
    try:
        came = getattr(client, operation)(**request)
    except ClientError as error:
        came = error.response
    came.pop("ResponseMetadata")
    for stream in ("Body", "Payload", "body"):
        if stream in came:
            came[stream] = came[stream].read()
    body = seen["body"]
    seen["body"] = body.read() if hasattr(body, "read") else body
    changing = (
        "authorization",
        "x-amz-date",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "user-agent",
    )
    seen["headers"] = {k: v for k, v in seen["headers"].items() if k.lower() not in changing}
    return seen, came


@pytest.mark.parametrize(("service", "operation", "request_"), CALLS)
def test_a_call_puts_the_same_on_the_wire(trimmed, service, operation, request_):
    xml = {"s3": b"<a/>", "sts": b"<a><GetCallerIdentityResult/></a>"}
    answer = xml.get(service, b"{}")
    cut = sent(client_of(service, trimmed), operation, request_, body=answer)
    whole = sent(client_of(service), operation, request_, body=answer)
    assert cut == whole


@pytest.mark.parametrize(
    ("service", "operation", "request_", "status", "body", "name"),
    [
        ("s3", CALLS[6][1], CALLS[6][2], 404, b"<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
        ("dynamodb", CALLS[1][1], CALLS[1][2], 400, b'{"__type": "x#ConditionalCheckFailedException"}',
         "ConditionalCheckFailedException"),
        ("lambda", CALLS[4][1], CALLS[4][2], 404, b'{"__type": "ResourceNotFoundException"}', "ResourceNotFoundException"),
    ],
)  # fmt: skip
def test_errors_keep_their_names(trimmed, service, operation, request_, status, body, name):
    client = client_of(service, trimmed)
    assert hasattr(client.exceptions, name)
    _, came = sent(client, operation, request_, status=status, body=body)
    assert came["Error"]["Code"] == name


def test_every_shape_that_is_left_can_be_reached(trimmed):
    for service in ("dynamodb", "lambda", "s3"):
        model = client_of(service, trimmed).meta.service_model
        for name in model.shape_names:
            assert model.shape_for(name).name == name
        for name in model.operation_names:
            operation = model.operation_model(name)
            assert (
                operation.input_shape,
                operation.output_shape,
                operation.error_shapes,
            ) is not None


def test_the_data_is_a_third_of_what_it_was(trimmed):
    whole = client_of("s3").meta.service_model
    cut = client_of("s3", trimmed).meta.service_model
    assert len(cut.operation_names) * 3 < len(whole.operation_names)
    assert not list(trimmed.rglob("*.gz"))
    assert sys.getsizeof((trimmed / "s3/2006-03-01/service-2.json").read_bytes()) < 150_000
