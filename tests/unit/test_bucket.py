"""What S3 answers to a role that may read objects and not list them."""

from __future__ import annotations

import io

import pytest
from botocore.awsrequest import AWSResponse

from rollout.aws import clients
from rollout.aws.bucket import Bucket
from rollout.errors import NotFound, Unavailable
from tests.building import make_settings


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


@pytest.fixture
def answers(monkeypatch):
    """The bucket, with an S3 that answers a status and a code, at botocore's transport."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    clients.forget()

    def answering(status, code):
        def answer(request, **_):
            body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
            return AWSResponse(request.url, status, {}, Raw(body))

        bucket = Bucket(make_settings())
        bucket._client().meta.events.register("before-send.s3.GetObject", answer)
        return bucket

    yield answering
    clients.forget()


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchKey")])
def test_an_object_that_has_expired_is_not_there_also_where_s3_says_forbidden(
    answers, status, code
):
    with pytest.raises(NotFound):
        answers(status, code).get("trajectories/gone")


@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (503, "SlowDown")])
def test_an_outage_is_an_outage(answers, status, code, monkeypatch):
    monkeypatch.setattr("rollout.aws.bucket._ATTEMPTS", 1)
    with pytest.raises(Unavailable):
        answers(status, code).get("trajectories/there")
