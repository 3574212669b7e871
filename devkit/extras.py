"""Packages that only some commands need: imported where they are used, named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, name: str) -> Any:
    """A module of a package that comes with an extra of this project.

    Args:
        module: dotted.
        name: the extra's, as in ``serverless-rollout[name]``.

    Raises:
        ValueError: it is not installed; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"this needs the package {package}, which is not here ({error}): "
            f"pip install 'serverless-rollout[{name}]', or {package} itself"
        ) from None
