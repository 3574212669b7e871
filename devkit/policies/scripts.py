"""What policies would say to an environment, and the proof of its reward, by the name of its agent.

They stand in ``scripts.py`` beside the agent and never ship with it. An agent that is one file has them
in that file.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import cast

from rollout.testing import Script


def scripts_of(agent: str) -> ModuleType:
    """The module with an agent's scripts: ``PACKAGE.scripts``, or the agent's own if it is one file.

    Args:
        agent: ``module:function``.

    Raises:
        ValueError: the agent's folder has no ``scripts.py``.
    """
    module = importlib.import_module(agent.partition(":")[0])
    if not hasattr(module, "__path__"):
        return module
    name = f"{module.__name__}.scripts"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(
            f"{module.__name__} has no scripts.py: write gold(instance, messages) there, which returns "
            "the next assistant message (docs/write-your-agent.md, 6), or choose another policy"
        ) from None


def script_of(agent: str, name: str) -> Script:
    """One script of an agent.

    Raises:
        ValueError: there is no such function.
    """
    module = scripts_of(agent)
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(
            f"{module.__name__} has no function {name!r}: write {name}(instance, messages), which "
            "returns the next assistant message (docs/write-your-agent.md, 6), or choose another policy"
        )
    return cast("Script", found)
