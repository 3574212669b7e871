"""What three policies would answer, from the right query to no query, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.sql import sql
from rollout.testing import check_grades, check_order, says


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
    query = str(instance["query"]).rstrip().rstrip(";")
    equal = [
        ("in a subquery", f"SELECT * FROM ({query})"),  # noqa: S608 - ours
        ("thought of another first", f"SELECT 2</sql></think><sql>{query}"),
        ("a second try", f"SELECT 1</sql> No: <sql>{query}"),
    ]
    less = [
        ("one column more", f"SELECT *, 1 FROM ({query})"),  # noqa: S608 - ours
        ("every row twice", f"SELECT * FROM ({query}) UNION ALL SELECT * FROM ({query})"),  # noqa: S608 - ours
        ("no rows", "SELECT 1 WHERE 0"),
        ("thought alone", f"SELECT 1</sql><think><sql>{query}</sql></think><sql>SELECT 2"),
    ]
    check_grades(
        sql,
        instance,
        equal=[(name, says(f"<sql>{text}</sql>")) for name, text in equal],
        less=[(name, says(f"<sql>{text}</sql>")) for name, text in less],
    )
    scripts = [("gold", gold), ("poor", poor), ("broken", broken)]
    return check_order(sql, instance, scripts)
