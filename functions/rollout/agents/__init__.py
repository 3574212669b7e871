"""Your agents, one file each.

The OpenAI Agents SDK is a package called ``agents`` as well. Where it is installed, its modules are
found behind these, and its names (``from agents import Agent, Runner``) are looked up there.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import extend_path
from typing import Any

__path__: list[str] = list(extend_path(__path__, __name__))


def __getattr__(name: str) -> Any:
    sdk = _sdk() if not name.startswith("__") else None
    if sdk is None or not hasattr(sdk, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(sdk, name)


def _sdk() -> Any:
    """The SDK's own ``__init__``, executed once over the shared ``__path__``."""
    known = sys.modules.get("agents._openai_sdk")
    for place in __path__[1:] if known is None else []:
        spec = spec_from_file_location(
            "agents._openai_sdk",
            Path(place) / "__init__.py",
            submodule_search_locations=list(__path__),
        )
        if spec and spec.loader:
            known = module_from_spec(spec)
            known.__package__ = __name__
            sys.modules["agents._openai_sdk"] = known
            try:
                spec.loader.exec_module(known)
            except BaseException:
                del sys.modules["agents._openai_sdk"]
                raise
    return known
