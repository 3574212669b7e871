"""Your agents, one file each.

The OpenAI Agents SDK is a package called ``agents`` as well. Where it is installed, its modules are
found behind these, and its names (``from agents import Agent, Runner``) are looked up there.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_here = Path(__file__).resolve().parent
_places = [Path(place) / __name__ for place in sys.path]
_sdks = [
    place for place in _places if (place / "__init__.py").is_file() and place.resolve() != _here
]
__path__ = [str(_here), *map(str, _sdks)]
_loaded: list[Any] = []


def __getattr__(name: str) -> Any:
    if (_here / f"{name}.py").is_file():  # "from agents import calculator" asks here first
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("__") or not _sdks or not hasattr(_sdk(), name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_sdk(), name)


def _sdk() -> Any:
    """The SDK's own ``__init__``, executed once; its modules are imported through this package."""
    if not _loaded:
        init = _sdks[0] / "__init__.py"
        spec = spec_from_file_location(__name__, init, submodule_search_locations=list(__path__))
        if spec is None or spec.loader is None:
            raise ImportError(f"{_sdks[0]} cannot be imported")
        module = module_from_spec(spec)
        _loaded.append(module)  # first: while it loads, it looks up its own modules here
        try:
            spec.loader.exec_module(module)
        except BaseException:
            _loaded.clear()
            raise
    return _loaded[0]
