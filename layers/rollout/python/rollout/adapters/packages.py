"""The packages that adapters need and the base layer does not have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rollout.errors import AgentUnavailable


def needed(module: str, package: str) -> Any:
    """Import what an adapter stands on.

    Args:
        module: to import.
        package: what brings it, as a line of requirements names it.

    Raises:
        AgentUnavailable: it, or what it needs itself, is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        also = "" if module.startswith(str(error.name)) else f" (it needs {error.name})"
        raise AgentUnavailable(
            f"This adapter needs the package {package}, which is not installed{also}; "
            "add it to environments/requirements.txt."
        ) from None
