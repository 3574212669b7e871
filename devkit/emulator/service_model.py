"""The Job Runtime's wire, read from botocore's own service model.

The simulator routes, validates and answers by this model, so that it cannot drift from the client.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from devkit.aws_session import botocore_session


@dataclass(frozen=True)
class ServiceError(Exception):
    """An error the service model knows, by its shape's name."""

    shape: str
    message: str
    retry_after: int | None = None


@lru_cache(maxsize=1)
def service_model() -> Any:
    """The installed ``sagemakerjobruntime`` model, botocore's ``ServiceModel``."""
    return botocore_session().get_service_model("sagemakerjobruntime")


@lru_cache(maxsize=1)
def operations() -> dict[tuple[str, str], Any]:
    """Operations by HTTP method and path."""
    model = service_model()
    found: dict[tuple[str, str], Any] = {}
    for name in model.operation_names:
        operation = model.operation_model(name)
        found[operation.http["method"], operation.http["requestUri"]] = operation
    return found


def read_input(operation: Any, headers: Any, body: bytes) -> dict[str, Any]:
    """Read and validate a request as the service would.

    Raises:
        ServiceError: ValidationException, naming the member at fault.
    """
    shape: Any = operation.input_shape
    payload = shape.serialization.get("payload")
    document: dict[str, Any] = {}
    if payload is None and body:
        try:
            parsed: Any = json.loads(body)
        except ValueError:
            raise ServiceError("ValidationException", "The body is not JSON.") from None
        if not isinstance(parsed, dict):
            raise ServiceError("ValidationException", "The body is not a JSON object.")
        document = cast("dict[str, Any]", parsed)
    values: dict[str, Any] = {}
    for name, member in shape.members.items():
        if name == payload:
            values[name] = body
        elif member.serialization.get("location") == "header":
            values[name] = headers.get(member.serialization["name"])
        else:
            values[name] = document.get(member.serialization.get("name", name))
    for name, member in shape.members.items():
        _check(name, values[name], member, required=name in shape.required_members)
    return values


def _check(name: str, value: Any, shape: Any, *, required: bool) -> None:
    if value is None or value == b"":
        if required:
            raise ServiceError("ValidationException", f"{name} is required.")
        return
    if shape.type_name == "list":
        if not isinstance(value, list) or not all(map(_is_number, cast("list[Any]", value))):
            raise ServiceError("ValidationException", f"{name} must be a list of numbers.")
    elif shape.type_name == "string":
        if not isinstance(value, str):
            raise ServiceError("ValidationException", f"{name} must be a string.")
        limits = shape.metadata
        if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
            raise ServiceError("ValidationException", f"{name} has a wrong length.")
        pattern = limits.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            raise ServiceError("ValidationException", f"{name} does not match {pattern}.")
        if "enum" in limits and value not in limits["enum"]:
            raise ServiceError("ValidationException", f"{name} must be one of {limits['enum']}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def status_of(shape: str) -> int:
    """The HTTP status of an error shape."""
    return int(service_model().shape_for(shape).metadata["error"]["httpStatusCode"])


def shape_of(status: int) -> str:
    """The error shape the service answers with a given HTTP status."""
    for name in service_model().shape_names:
        error = service_model().shape_for(name).metadata.get("error")
        if error and error["httpStatusCode"] == status:
            return name
    raise ValueError(f"the service has no error with status {status}")
