"""Unit tests talk to nobody."""

from __future__ import annotations

import socket

import boto3
import pytest
from moto import mock_aws

from devkit.emulator.template import table_properties
from rollout import backoff, run, steps
from rollout.aws import clients, feedback
from rollout.storage.records import Records
from tests.building import ENVIRON, REGION, make_settings


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a unit test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


class Clock:
    """Stands in for ``time`` and ``random``: sleeping passes at once and jitter is at its longest."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def uniform(self, shortest: float, longest: float) -> float:
        self.shortest = shortest
        return longest


@pytest.fixture
def clock(monkeypatch):
    """A clock in the modules that keep to a deadline; the process's own goes on."""
    clock = Clock()
    for module in (feedback, run, steps):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(backoff, "random", clock)
    return clock


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
