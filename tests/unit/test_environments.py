"""Each environment's reward is in order on every row of its dataset."""

from __future__ import annotations

import importlib
import json

import pytest

from devkit.places import dataset_of
from devkit.rehearsal.play import read_rows
from environments import sql, support_desk, wordle
from rollout.testing import check_order, rehearse
from scripts.datasets import AGENTS, customers, games, questions
from tests.building import tool_call


def rows_of(name):
    return read_rows(dataset_of(AGENTS[name]), 1_000)


@pytest.mark.parametrize("name", AGENTS)
def test_gold_earns_the_most_and_the_order_holds_on_every_row(name):
    module = importlib.import_module(f"environments.{name}")
    rows = rows_of(name)
    assert len(rows) >= 12
    for row in rows:
        rewards = module.validate(row)
        assert rewards[0] == 1.0
        assert rewards == sorted(rewards, reverse=True)


@pytest.mark.parametrize("name", AGENTS)
def test_a_dataset_has_the_column_the_platform_reads(name):
    for line in dataset_of(AGENTS[name]).read_text().splitlines():
        row = json.loads(line)
        assert list(row) == ["prompt"]
        assert isinstance(json.loads(row["prompt"]), dict)


def test_the_datasets_are_as_generated():
    for name, made in (("wordle", games()), ("sql", questions()), ("support_desk", customers())):
        assert rows_of(name) == made


def test_the_order_is_held_not_hoped_for():
    def silly(episode):
        episode.sample([{"role": "user", "content": "hi"}])
        return 1.0

    with pytest.raises(ValueError, match="'poor' earned 1, no less"):
        check_order(silly, {"word": "crane"}, [("gold", wordle.gold), ("poor", wordle.poor)])


@pytest.mark.parametrize(
    ("guess", "word", "told"),
    [
        ("crane", "crane", "GGGGG"),
        ("allee", "apple", "GY--G"),
        ("eerie", "steel", "YY---"),
        ("speed", "erase", "Y-YY-"),
    ],
)
def test_wordle_marks_a_letter_no_more_often_than_the_word_has_it(guess, word, told):
    assert wordle.marks(guess, word) == told


def test_the_words_are_words():
    assert len(set(wordle.WORDS)) == len(wordle.WORDS) > 150
    assert all(len(w) == 5 and w.isalpha() and w.islower() for w in wordle.WORDS)


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
    database = sql.build(questions()[0])
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
            call = tool_call("run_query", {"query": "SELECT x FROM nowhere"})
            return {"content": None, "tool_calls": [call]}
        assert "no such table" in messages[-1]["content"]
        return sql.gold(instance, messages)

    assert rehearse(sql.sql, questions()[0], curious).reward == 1.0


def test_an_instance_that_cannot_be_used_names_what_is_wrong():
    for module, row, said in (
        (wordle.wordle, {"word": "toolong"}, "five-letter"),
        (sql.sql, {"question": "q", "setup": "nonsense", "query": "x"}, "'setup' does not run"),
        (sql.sql, {"question": "q", "setup": "", "query": "SELECT x"}, "'query' does not run"),
    ):
        result = rehearse(module, row, wordle.silent)
        assert result.error is not None
        assert said in result.error["detail"]


def test_changing_before_verifying_breaks_the_procedure():
    row = next(r for r in customers() if r["request"] == "refund" and r["expected"] != r["orders"])
    amount = row["expected"][row["order_id"]]["refunded"]

    def hasty(instance, messages):
        if messages[-1]["role"] == "tool":
            return {"content": "GOODBYE"}
        call = tool_call("refund", {"order_id": instance["order_id"], "amount": amount})
        return {"content": None, "tool_calls": [call]}

    result = rehearse(support_desk.support_desk, row, hasty)
    assert (result.reward, result.metrics["broke_procedure"]) == (0.0, 1.0)


def test_each_episode_has_a_database_of_its_own():
    first = sql.build({"setup": "CREATE TABLE mine (a)"})
    second = sql.build({"setup": "CREATE TABLE yours (a)"})
    assert sql.run(first, "SELECT * FROM mine") == []
    assert "no such table" in sql.run(second, "SELECT * FROM mine")
    first.close()
    second.close()
