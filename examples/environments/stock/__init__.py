"""A taskset of verifiers' with tools, as an agent (docs/environments/verifiers.md)."""

from __future__ import annotations

from environments.stock.taskset import StockTaskset
from rollout.adapters.verifiers import verifiers

stock = verifiers(StockTaskset)
