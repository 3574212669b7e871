"""boto3 as the devkit uses it: the one place where its missing types become ``Any``."""

from __future__ import annotations

import os
from typing import Any, cast

import boto3
import botocore.session
from botocore import exceptions

_boto3 = cast("Any", boto3)
# What AWS answers to credentials that are no good, or no longer.
_REFUSED = {
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
    "SignatureDoesNotMatch", "RequestExpired",
}  # fmt: skip


def new_session() -> Any:
    """A session with the credentials and the region that the environment gives."""
    return _boto3.Session(region_name=_region())


def _region() -> str | None:
    """``AWS_REGION``, which the AWS CLI and SAM CLI read and boto3 does not; None leaves it to boto3."""
    return os.environ.get("AWS_REGION") or None


# Errors of botocore by class, the particular ones first, and what to do about each.
_LINES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (exceptions.NoRegionError,),
        "no region is set: export AWS_REGION=us-west-2 (the stack's), or aws configure",
    ),
    ((exceptions.ProfileNotFound,), "{error}: correct AWS_PROFILE, or aws configure"),
    (
        (exceptions.NoCredentialsError, exceptions.PartialCredentialsError),
        "there are no AWS credentials here: log in (aws sso login, or AWS_PROFILE)",
    ),
    (
        (exceptions.SSOError, exceptions.TokenRetrievalError),
        "the AWS login is over: aws sso login",
    ),
    ((exceptions.ClientError,), "AWS refused: {error}"),
    ((exceptions.BotoCoreError,), "AWS does not answer: {error}"),
)


def what_to_do(error: Exception) -> str | None:
    """One line for whoever lacks a region, credentials or AWS itself; None for any other error."""
    answer: Any = getattr(error, "response", {})  # of a ClientError
    code = str(answer.get("Error", {}).get("Code"))
    if code in _REFUSED:
        return f"AWS refuses these credentials ({code}): log in again, or correct AWS_PROFILE"
    for kinds, line in _LINES:
        if isinstance(error, kinds):
            return line.format(error=error)
    return None


def look_for_credentials() -> None:
    """See that there are a region and credentials before work begins that needs them at its end.

    Raises:
        NoRegionError, NoCredentialsError: what :func:`what_to_do` has a line for.
    """
    session = new_session()
    if not session.region_name:
        raise exceptions.NoRegionError
    if session.get_credentials() is None:
        raise exceptions.NoCredentialsError


def default_session() -> Any:
    """The process's own session, or None before anything was asked for."""
    return _boto3.DEFAULT_SESSION


def renew_default_session() -> None:
    """Give the process a session that looks for its credentials anew."""
    _boto3.setup_default_session()


def client(service: str, **where: Any) -> Any:
    """A client of the process's own session.

    Args:
        service: as boto3 calls it, e.g. ``cloudformation``.
        where: further arguments as ``boto3.client`` takes them.
    """
    where.setdefault("region_name", _region())
    return _boto3.client(service, **where)


def botocore_session() -> Any:
    """A session of botocore: what it knows of the services, without credentials."""
    return cast("Any", botocore.session).get_session()
