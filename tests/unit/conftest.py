"""Unit tests talk to nobody."""

from __future__ import annotations

import socket

import boto3
import pytest
from moto import mock_aws

from local.template import table_properties
from rollout import clients
from rollout.records import Records
from tests.conftest import ENVIRON, REGION, make_settings


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a unit test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def store(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        clients.forget()
        boto3.client("dynamodb", REGION).create_table(
            TableName=ENVIRON["ROLLOUT_TABLE"], **table_properties()
        )
        boto3.client("s3", REGION).create_bucket(
            Bucket=ENVIRON["ROLLOUT_BUCKET"],
            CreateBucketConfiguration={"LocationConstraint": REGION},
        )
        yield Records(make_settings())
    clients.forget()
