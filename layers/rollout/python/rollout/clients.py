"""Pooled clients of the AWS SDK, made at first use and kept for the life of the process.

botocore makes them, as it does for boto3, without what boto3 puts on top: resources, transfers and a
session of its own take 25 ms to import. It is imported inside the functions, for it is the largest part
of a cold start, and ``GET /health`` never needs it.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any

_making = Lock()

# More connections than one process ever has rollouts in flight; fewer make botocore reconnect.
_POOL = 64


def client(
    service: str,
    region: str,
    endpoint: str = "",
    *,
    read_timeout: float = 60.0,
    attempts: int = 3,
) -> Any:
    """A shared, thread-safe client.

    Args:
        service: botocore's service name, e.g. ``sagemakerjobruntime``.
        region: AWS region, also the one the request is signed for.
        endpoint: URL to send to, if not the service's own in that region.
        read_timeout: seconds one response may take.
        attempts: total attempts botocore makes; 1 where a repeat could do harm.
    """
    # lru_cache may run its function twice at once, and botocore's session is not thread-safe.
    with _making:
        return _client(service, region, endpoint, read_timeout, attempts)


@lru_cache(maxsize=64)
def _client(service: str, region: str, endpoint: str, read_timeout: float, attempts: int) -> Any:
    import botocore
    from botocore.config import Config

    config = Config(
        # Shows in CloudTrail who called; and botocore puts its own together anew for every request, a
        # tenth of the time it takes.
        user_agent=f"serverless-rollout Botocore/{botocore.__version__}",
        connect_timeout=5,
        read_timeout=read_timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=_POOL,
        tcp_keepalive=True,
        # Our bodies carry their own checks; request checksums cost a copy of a large body.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return _session().create_client(
        service, region_name=region, endpoint_url=endpoint or None, config=config
    )


@lru_cache(maxsize=1)
def _session() -> Any:
    from botocore.session import Session

    return Session()


def forget() -> None:
    """Drop the clients; for a process that turns to another stack."""
    _client.cache_clear()
    _session.cache_clear()
