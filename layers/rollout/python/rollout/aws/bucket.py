"""The S3 bucket: objects by key, with one retry rule and the library's own errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rollout.aws import clients
from rollout.errors import NotFound, Unavailable
from rollout.settings import Settings

# Seconds one answer may take, and how often a call is made until it is answered.
_READ_TIMEOUT, _ATTEMPTS = 20.0, 4


class Bucket:
    """Reads and writes whole objects.

    Args:
        settings: the bucket's name and region.
    """

    def __init__(self, settings: Settings) -> None:
        self._name = settings.storage.bucket
        self._region = settings.region

    def get(self, key: str) -> bytes:
        """An object's content.

        Raises:
            NotFound: there is none, or S3 does not say which: a role that may not list the bucket,
                as none of ours may, gets 403 for an object that is not there ("GetObject", S3 API
                reference).
            Unavailable: the bucket refused or did not answer.
        """

        def read() -> bytes:
            return self._client().get_object(Bucket=self._name, Key=key)["Body"].read()

        return _answering(read)

    def put(self, key: str, content: bytes, *, kind: str = "", encoding: str = "") -> None:
        """Write an object, over the one that is there.

        Args:
            kind: content type.
            encoding: content encoding.

        Raises:
            Unavailable: the bucket refused or did not answer.
        """
        headers = {"ContentType": kind, "ContentEncoding": encoding}
        known = {name: value for name, value in headers.items() if value}
        _answering(
            lambda: self._client().put_object(Bucket=self._name, Key=key, Body=content, **known)
        )

    def _client(self) -> Any:
        return clients.client("s3", self._region, read_timeout=_READ_TIMEOUT, attempts=_ATTEMPTS)


def _answering(call: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        code = clients.code_of(error.response)
        # Where the caller may not list the bucket, S3 says of a missing key that it is forbidden.
        if code in ("NoSuchKey", "AccessDenied"):
            raise NotFound("There is no such object in the bucket.") from None
        raise Unavailable(f"The bucket answered {code}.", retry_after=2) from None
    except Exception as error:  # noqa: BLE001 - botocore's parsers raise anything at an odd body
        raise Unavailable(
            f"The bucket did not answer ({type(error).__name__}).", retry_after=2
        ) from None
