"""Secrets of AWS Secrets Manager, for an agent: a database's DSN, the key of an HTTP API.

Read by Powertools' parameters, once in five minutes in a process, and kept in its memory alone: no line,
record or error of ours holds a value. The role may read what the parameter ``AgentSecretArns`` names.
"""

from __future__ import annotations

import json
from functools import lru_cache
from threading import Lock
from typing import Any, cast

from rollout.aws import clients
from rollout.errors import ToolBroken

# Seconds for which a secret that was read is used again; one that was changed is used after that.
_SECONDS = 300
_reading = Lock()


def secret(name: str, key: str = "") -> str:
    """The text of a secret, without the blanks around it. Call it in the agent, not at import.

    Args:
        name: its ARN; in the function's own region and account its name does, too.
        key: of a secret that is a JSON object, as those of Amazon RDS are: the text or number under it.

    Raises:
        ToolBroken: it cannot be read, is binary, or has no such key. So a rollout fails under ``tool``
            and is not scored. The error holds neither the value nor a name that is no ARN.
    """
    region = name.split(":")[3] if _is_arn(name) else clients.own_region()
    try:
        text = read(name, region)
    except Exception as error:  # noqa: BLE001 - botocore's own and Powertools' around it
        why = clients.code_of(getattr(error.__context__, "response", None)) or type(error).__name__
        raise ToolBroken(
            f"{_called(name)} cannot be read ({why}). Is it in AgentSecretArns?"
        ) from None
    if not isinstance(text, str):
        raise ToolBroken(f"{_called(name)} has no text.")
    return _under(text, key, name) if key else text.strip()


def read(name: str, region: str) -> Any:
    """A secret as it is stored: text, or bytes where it is binary.

    Raises:
        GetParameterError, BotoCoreError: it cannot be read.
    """
    # Powertools keeps what it read, but does not hold back a second thread that reads the same.
    with _reading:
        return _provider(region).get(name, max_age=_SECONDS)


@lru_cache(maxsize=4)
def _provider(region: str) -> Any:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    client = clients.client("secretsmanager", region, read_timeout=5)
    return SecretsProvider(boto3_client=client)


def forget() -> None:
    """Drop what was read; for a process that turns to another stack."""
    _provider.cache_clear()


def _under(text: str, key: str, name: str) -> str:
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None
    value = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ToolBroken(f"{_called(name)} is no JSON object with a text or number under {key!r}.")
    return str(value)


def _is_arn(name: str) -> bool:
    return name.startswith("arn:") and name.count(":") >= 6


def _called(name: str) -> str:
    # Who mixes up name and value must not find the value in a log.
    return f"The secret {name}" if _is_arn(name) else "A secret"
