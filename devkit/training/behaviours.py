"""The ways of playing a policy chooses between: an environment's scripts, and the probes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.policies.probes import PROBES, probe
from devkit.policies.scripts import script_of, scripts_of
from rollout.testing import Script

_PROBE = "probe:"


def behaviours_of(agent: str, names: Sequence[str] = ()) -> dict[str, PolicyFunction]:
    """Behaviours by name, ready to be asked.

    Args:
        agent: ``module:function``, whose ``scripts.py`` has the scripts.
        names: ``NAME`` of a script, or ``probe:NAME``; every script and every probe if empty.

    Raises:
        ValueError: naming the script or probe that there is not.
    """
    return {name: _behaviour(agent, name) for name in names or names_of(agent)}


def names_of(agent: str) -> list[str]:
    """Every script of an agent that takes (instance, messages), ``gold`` first, and every probe."""
    scripts = [
        name
        for name, found in vars(scripts_of(agent)).items()
        if inspect.isfunction(found)
        and not name.startswith("_")
        and list(inspect.signature(found).parameters) == ["instance", "messages"]
    ]
    scripts.sort(key=lambda name: name != "gold")
    return [*scripts, *(f"{_PROBE}{name}" for name in PROBES)]


def _behaviour(agent: str, name: str) -> PolicyFunction:
    if not name.startswith(_PROBE):
        return _scripted(script_of(agent, name))
    known = name.removeprefix(_PROBE)
    if known not in PROBES:
        raise ValueError(f"there is no probe {known!r}; use one of {', '.join(PROBES)}")
    return probe(known)


def _scripted(script: Script) -> PolicyFunction:
    def policy(asked: SampleRequest) -> Any:
        return script(asked.instance, asked.messages)

    return policy
