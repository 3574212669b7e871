"""Pooled boto3 clients, made at first use and kept for the life of the process.

boto3 is imported inside the function: importing it is the largest part of a cold start, and
``GET /health`` never needs it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from threading import Lock
from typing import Any, cast

_making = Lock()

# More connections than one process ever has rollouts in flight; fewer make botocore reconnect.
_POOL = 64
# What a service may ask us to wait, seconds; a report must not be put off beyond its time.
_LONGEST_WAIT = 60


def client(
    service: str,
    region: str,
    endpoint: str = "",
    *,
    read_timeout: float = 60.0,
    attempts: int = 3,
) -> Any:
    """A shared, thread-safe boto3 client.

    Args:
        service: boto3's service name, e.g. ``sagemakerjobruntime``.
        region: AWS region, also the one the request is signed for.
        endpoint: URL to send to, if not the service's own in that region.
        read_timeout: seconds one response may take.
        attempts: total attempts botocore makes; 1 where a repeat could do harm.
    """
    # lru_cache may run its function twice at once, and boto3's session is not thread-safe.
    with _making:
        return _client(service, region, endpoint, read_timeout, attempts)


@lru_cache(maxsize=64)
def _client(service: str, region: str, endpoint: str, read_timeout: float, attempts: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        # Shows in CloudTrail who called; and botocore puts its own together anew for every request, a
        # tenth of the time it takes.
        user_agent=f"serverless-rollout Boto3/{boto3.__version__}",
        connect_timeout=5,
        read_timeout=read_timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=_POOL,
        tcp_keepalive=True,
        # Our bodies carry their own checks; request checksums cost a copy of a large body.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return cast("Any", boto3).client(
        service, region_name=region, endpoint_url=endpoint or None, config=config
    )


def own_region() -> str:
    """The region this process runs in, as Lambda and the tools name it; empty where none is named."""
    return os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")


def unreached() -> tuple[type[Exception], ...]:
    """What botocore raises where nothing was sent: no connection, no name, no credentials, no request."""
    from botocore import exceptions as boto

    return (
        boto.ConnectTimeoutError,
        boto.EndpointConnectionError,  # refused, or the name did not resolve
        boto.ProxyConnectionError,
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.NoRegionError,
        boto.ParamValidationError,
    )


def status_of(answer: Any) -> int | None:
    """The HTTP status of an answer, of success or error, however odd; None where it names none."""
    status = _object(_object(answer).get("ResponseMetadata")).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def code_of(answer: Any) -> str:
    """The error code of an error answer, as text whatever the service wrote; at most 100 characters."""
    return str(_object(_object(answer).get("Error")).get("Code", ""))[:100]


def retry_after(metadata: Any) -> int:
    """The seconds that an error answer asks to wait; 0 where it names none that can be read.

    Args:
        metadata: botocore's ``ResponseMetadata``.
    """
    text = str(_object(_object(metadata).get("HTTPHeaders")).get("retry-after", ""))
    if not (text.isascii() and text.isdigit()):  # also "²" is a digit, and no number
        return 0
    return min(int(text[:9]), _LONGEST_WAIT)


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def forget() -> None:
    """Drop the clients; for a process that turns to another stack."""
    _client.cache_clear()
