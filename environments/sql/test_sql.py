from __future__ import annotations

from pathlib import Path

import pytest

from devkit.rehearsal.play import read_rows
from environments import sql
from environments.sql import problems, scripts
from rollout.testing import calls, rehearse, says

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


BIG = 2**62
SETUP = f"""
CREATE TABLE t (id INTEGER, name TEXT, points REAL);
INSERT INTO t VALUES (1, 'a', 0.1), (2, 'b', 0.2), (3, 'c', 0.3), ({BIG}, 'd', 0.3);
CREATE TABLE n (i); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 300)
INSERT INTO n SELECT x FROM c;
"""


@pytest.mark.parametrize(
    ("query", "given", "right"),
    [
        (f"SELECT id FROM t WHERE id = {BIG}", f"SELECT {BIG}", True),
        (f"SELECT id FROM t WHERE id = {BIG}", f"SELECT {BIG + 1}", False),
        ("SELECT name FROM t ORDER BY points DESC",
         "SELECT name FROM t ORDER BY points DESC, id DESC", True),
        ("SELECT name FROM t ORDER BY points DESC", "SELECT name FROM t ORDER BY points", False),
        ("SELECT name, points FROM t ORDER BY 2",
         "SELECT name, points FROM t ORDER BY points, name DESC", True),
        ("SELECT name, points AS p FROM t ORDER BY p",
         "SELECT name, points FROM t ORDER BY points DESC", False),
        ("SELECT name FROM t ORDER BY id", "SELECT name FROM t ORDER BY id DESC", False),
        ("SELECT count(*) AS c, points FROM t GROUP BY points ORDER BY c DESC, points",
         "SELECT count(*), points FROM t GROUP BY points ORDER BY 1 DESC, 2", True),
        ("SELECT name FROM (SELECT * FROM t ORDER BY id)", "SELECT name FROM t ORDER BY id DESC", True),
        ("SELECT sum(points) FROM t", "SELECT 0.3 + 0.3 + 0.2 + 0.1", True),
        ("SELECT sum(points) FROM t", "SELECT 0.9000001", False),
        ("SELECT i FROM n", "SELECT i FROM n ORDER BY i DESC", True),
        ("SELECT i FROM n", "SELECT i FROM n LIMIT 299", False),
        ("SELECT name FROM t WHERE points > 5", "SELECT name FROM t WHERE 5 < points", True),
        ("SELECT name FROM t WHERE points > 5", "SELECT name FROM t WHERE 0", False),
        ("SELECT name FROM t WHERE points > 5", "SELECT 1 WHERE 0", False),
        ("SELECT name FROM t WHERE id NOT IN (SELECT i FROM n)  AND id < 9",
         "SELECT name FROM t LEFT JOIN n ON i = id WHERE i IS NULL AND id < 9", True),
        ("SELECT name FROM t WHERE id NOT IN (SELECT i FROM n)  AND id < 9",
         "SELECT name FROM t JOIN n ON i = id WHERE id > 300", False),
        ("SELECT name FROM t", "SELECT 1</sql></think><sql>SELECT name FROM t", True),
    ],
)  # fmt: skip
def test_results_are_compared_by_what_they_say(query, given, right):
    row = {"question": "q", "setup": SETUP, "query": query}
    result = rehearse(sql.sql, row, says(f"<sql>{given}</sql>"))
    assert result.failure is None, result.failure
    assert (result.reward == 1.0) is right
