"""What three policies would answer, from the right query to no query, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.sql import sql
from rollout.testing import check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the query."""
    del messages
    return {"content": f"<sql>{instance['query']}</sql>"}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes a query that runs and answers nothing."""
    del instance, messages
    return {"content": "<sql>SELECT 'I do not know'</sql>"}


def broken(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Writes what is no query."""
    del instance, messages
    return {"content": "<sql>SELEC everything</sql>"}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that the right rows beat a query that runs, and that one a query that does not.

    Raises:
        ValueError: the order does not hold for this instance.
    """
    return check_order(sql, instance, [("gold", gold), ("poor", poor), ("broken", broken)])
