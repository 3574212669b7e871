"""boto3 as the devkit uses it: the one place where its missing types become ``Any``."""

from __future__ import annotations

from typing import Any, cast

import boto3
import botocore.session

_boto3 = cast("Any", boto3)


def new_session() -> Any:
    """A session with the credentials and the region that the environment gives."""
    return _boto3.Session()


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
    return _boto3.client(service, **where)


def botocore_session() -> Any:
    """A session of botocore: what it knows of the services, without credentials."""
    return cast("Any", botocore.session).get_session()
