from __future__ import annotations

from pathlib import Path

import pytest

from devkit.rehearsal.play import read_rows
from environments import sql
from environments.sql import problems, scripts
from rollout.testing import calls, rehearse

ROWS = read_rows(Path(__file__).with_name("dataset.jsonl"), 1_000)


def test_gold_earns_the_most_and_the_order_holds_on_every_row():
    assert len(ROWS) >= 12
    for row in ROWS:
        rewards = scripts.validate(row)
        assert rewards[0] == 1.0
        assert rewards == sorted(rewards, reverse=True)


def test_the_dataset_is_as_generated():
    assert problems.instances() == ROWS


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE orders",
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (99, 1, 1)",
        "PRAGMA writable_schema = 1",
        "ATTACH DATABASE '/tmp/x' AS x",
        "SELECT load_extension('x')",
        "CREATE TEMP TABLE t (a)",
        "SELECT 1; DROP TABLE orders",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT * FROM orders a, orders b, orders c",
        "",
    ],
)
def test_a_query_only_reads_within_its_limits(query, monkeypatch):
    monkeypatch.setattr(sql, "MAX_SECONDS", 0.3)
    database = sql.build(ROWS[0])
    before = database.execute("SELECT count(*) FROM orders").fetchone()
    assert isinstance(sql.run(database, query), str)
    assert database.execute("SELECT count(*) FROM orders").fetchone() == before
    database.close()


def test_sql_compares_rows_not_text():
    row = {
        "question": "q",
        "setup": "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2), (3, 4);",
        "query": "SELECT a FROM t",
    }

    def other(query):
        return lambda *_: {"content": f"<sql>{query}</sql>"}

    assert rehearse(sql.sql, row, other("SELECT a * 1.0 FROM t ORDER BY a DESC")).reward == 1.0
    assert rehearse(sql.sql, row, other("SELECT b FROM t")).reward == 0.1
    row["query"] = "SELECT a FROM t ORDER BY a"
    assert rehearse(sql.sql, row, other("SELECT a FROM t ORDER BY a DESC")).reward == 0.1


def test_sql_offers_a_tool_that_tells_what_is_wrong():
    def curious(instance, messages):
        if len(messages) == 2:
            return calls("run_query", {"query": "SELECT x FROM nowhere"})
        assert "no such table" in messages[-1]["content"]
        return scripts.gold(instance, messages)

    assert rehearse(sql.sql, ROWS[0], curious).reward == 1.0


def test_each_episode_has_a_database_of_its_own():
    first = sql.build({"setup": "CREATE TABLE mine (a)"})
    second = sql.build({"setup": "CREATE TABLE yours (a)"})
    assert sql.run(first, "SELECT * FROM mine") == []
    assert "no such table" in sql.run(second, "SELECT * FROM mine")
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "q", "setup": "nonsense", "query": "x"}, "'setup' does not run"),
        ({"question": "q", "setup": "", "query": "SELECT x"}, "'query' does not run"),
    ],
)
def test_an_instance_that_cannot_be_used_names_what_is_wrong(row, said):
    result = rehearse(sql.sql, row, scripts.gold)
    assert result.failure is not None
    assert said in result.failure.detail
