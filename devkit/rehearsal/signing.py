"""A deployed stack as a target: requests signed for API Gateway, and only over https."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from devkit.aws_session import new_session

_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Headers that are signed; what a client adds on its way is not.
_SIGNED = ("content-type", "prefer")


class SigV4(httpx.Auth):
    """Signs each request for ``execute-api`` with the user's credentials.

    Args:
        region: the API's.
        credentials: botocore's; refreshed by it where they expire.
    """

    requires_request_body = True

    def __init__(self, region: str, credentials: Any) -> None:
        self._region = region
        self._credentials = credentials

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Add the signature."""
        headers = {k: v for k, v in request.headers.items() if k in _SIGNED}
        unsigned = AWSRequest(
            request.method, str(request.url), data=request.content, headers=headers
        )
        signer: Any = SigV4Auth(self._credentials, "execute-api", self._region)
        signer.add_auth(unsigned)
        request.headers.update(dict(unsigned.headers.items()))
        yield request


def signer_for(url: str, region: str = "") -> tuple[str, SigV4]:
    """The region of a deployed stack, and what signs requests for it.

    Args:
        url: of the stage, as the stack's output ``Url`` has it.
        region: where the host does not say it.

    Raises:
        ValueError: the URL is not one that credentials may go to, or there are none.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.query or parts.fragment:
        raise ValueError(f"--url {url}: give the stack's output Url as it is")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError(f"--url {url}: only https is signed; http is for loopback")
    session = new_session()
    match = _HOST.fullmatch(host)
    region = region or (match["region"] if match else session.region_name or "")
    if not region:
        raise ValueError(f"--url {url} does not tell its region; add --region")
    credentials = session.get_credentials()
    if credentials is None:
        raise ValueError("there are no AWS credentials to sign with; sign in, or set AWS_PROFILE")
    return region, SigV4(region, credentials)
