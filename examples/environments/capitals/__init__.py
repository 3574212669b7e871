"""A taskset of verifiers' as an agent (docs/environments/verifiers.md)."""

from __future__ import annotations

from environments.capitals.taskset import CapitalsTaskset
from rollout.adapters.verifiers import verifiers

capitals = verifiers(CapitalsTaskset)
