"""Questions to a database: the policy writes a query, the reward executes it.

An instance has ``question``, ``setup`` (SQL that builds the tables) and ``query`` (the right one). Each
episode has a SQLite database of its own, in memory. The policy may try queries with a tool and ends
with ``<sql>SELECT …</sql>``. Right rows earn 1.0, a query that runs 0.1, anything else 0.

What is the same, :mod:`environments.sql.results` says. Where the right answer is no rows, a query must
read what the right one reads and agree with it when a table is emptied; else any empty query would do.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any

from environments.sql.results import blocks, same
from rollout import Episode, Outcome, agent
from rollout.errors import AgentError, DeadlineError
from rollout.thoughts import said

MAX_ROWS = 200
MAX_SECONDS = 2.0
MAX_BYTES = 1_000_000
# Of an answer that is graded; the tool shows less.
GRADED_ROWS = 20_000
GRADED_BYTES = 10_000_000
_SHOWN = 20
_OPENING = re.compile("<sql>", re.IGNORECASE)
_CLOSING = re.compile("</sql>", re.IGNORECASE)
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_LEAVING = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA}
# The time limit is looked at between SQLite's steps; these keep a single step short.
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
}
# Bytes that SQLite may use, in all of the process.
_MEMORY = 256_000_000
SYSTEM = (
    "Answer the question with one SQLite query over these tables:\n\n{schema}\n\nTry queries with the "
    "run_query tool. End with the final query alone, as <sql>SELECT ...</sql>."
)


@agent
def sql(episode: Episode) -> Outcome:
    """Turn a question into a query; 1.0 if it returns the right rows."""
    instance = episode.instance
    with closing(build(instance)) as database:
        expected = run(database, str(instance.get("query", "")), GRADED_ROWS, GRADED_BYTES)
        if isinstance(expected, str):
            # What SQLite says quotes the query, and an error's detail holds no content.
            raise AgentError("The instance's 'query' does not run; try it with sqlite3.")

        def run_query(query: str) -> str:
            """Run a read-only SQLite query and read its first rows.

            Args:
                query: one SELECT statement.
            """
            rows = run(database, query)
            if isinstance(rows, str):
                raise ValueError(rows)
            more = f"\n({len(rows)} rows)" if len(rows) > _SHOWN else ""
            return "\n".join(map(str, rows[:_SHOWN])) + more or "no rows"

        text = ""
        try:
            reply = episode.converse(
                str(instance["question"]),
                tools=[run_query],
                system=SYSTEM.format(schema=schema(database)),
            )
            text = reply.text
        except DeadlineError:
            pass  # no final query: no reward
        query = query_in(text)
        given = run(database, query, GRADED_ROWS, GRADED_BYTES)
        right = (
            not isinstance(given, str)
            and same(given, expected, blocks(database, instance["query"], expected))
            and (bool(expected) or _empty_for_a_reason(instance, query))
        )
    runs = not isinstance(given, str)
    reward = 1.0 if right else 0.1 if runs else 0.0
    return Outcome(reward, {"runs": float(runs)}, {"query": query})


def build(instance: dict[str, Any], *, emptied: str = "") -> sqlite3.Connection:
    """The episode's database, read-only once it is built.

    Args:
        emptied: a table whose rows are left out.

    Raises:
        AgentError: the instance's setup does not run.
    """
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    database.execute(f"PRAGMA hard_heap_limit={_MEMORY}")
    database.execute("PRAGMA temp_store=MEMORY")  # sorting spills into the heap, which is limited

    def inside(action: int, *_: Any) -> int:
        return sqlite3.SQLITE_DENY if action in _LEAVING else sqlite3.SQLITE_OK

    def reading(action: int, *_: Any) -> int:
        return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY

    database.set_authorizer(inside)
    try:
        with _limited(database):
            database.executescript(str(instance.get("setup", "")))
            if emptied:
                database.execute(f"DELETE FROM {_quoted(emptied)}")  # noqa: S608 - quoted
    except _REFUSALS as error:
        database.close()
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        raise AgentError(f"The instance's 'setup' does not run ({kind}).") from None
    database.set_authorizer(reading)
    for limit, value in _LIMITS.items():
        database.setlimit(limit, value)
    return database


def run(
    database: sqlite3.Connection,
    query: str,
    most_rows: int = MAX_ROWS,
    most_bytes: int = MAX_BYTES,
) -> list[tuple[Any, ...]] | str:
    """A query's rows, or why it has none: an error, too many rows, too slow."""
    if not query.strip():
        return "there is no query"
    rows: list[tuple[Any, ...]] = []
    size = 0
    try:
        with _limited(database):
            for row in database.execute(query):
                rows.append(row)
                size += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in row)
                if len(rows) > most_rows:
                    return f"more than {most_rows} rows"
                if size > most_bytes:
                    return f"more than {most_bytes} bytes"
    except _REFUSALS as error:
        return _why(error)
    return rows


@contextmanager
def _limited(database: sqlite3.Connection) -> Generator[None]:
    """Within this, SQLite stops after MAX_SECONDS."""
    until = time.monotonic() + MAX_SECONDS
    database.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)


_REFUSALS = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "too much memory is needed"
    return f"longer than {MAX_SECONDS:g} s" if "interrupted" in str(error) else str(error)


def query_in(text: str) -> str:
    """The last query between ``<sql>`` and ``</sql>`` that is said; empty if there is none."""
    text = said(text)
    query, place = "", 0
    while (opening := _OPENING.search(text, place)) is not None:
        closing = _CLOSING.search(text, opening.end())
        if closing is None:
            break
        query, place = text[opening.end() : closing.start()].strip(), closing.end()
    return query


def _empty_for_a_reason(instance: dict[str, Any], query: str) -> bool:
    """Whether a query without rows reads what the right one reads, and agrees when a table is emptied."""
    right = str(instance["query"])
    with closing(build(instance)) as database:
        if not _reads(database, right) <= _reads(database, query):
            return False
        tables = [row[0] for row in database.execute(_TABLES).fetchall()]
    for table in tables:
        with closing(build(instance, emptied=table)) as database:
            expected = run(database, right, GRADED_ROWS, GRADED_BYTES)
            given = run(database, query, GRADED_ROWS, GRADED_BYTES)
            if isinstance(expected, str) or isinstance(given, str):
                return False
            if not same(given, expected, blocks(database, right, expected)):
                return False
    return True


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


def _reads(database: sqlite3.Connection, query: str) -> set[tuple[str, str]]:
    """The columns a query reads, by table."""
    found: set[tuple[str, str]] = set()

    def note(action: int, first: Any, second: Any, *_: Any) -> int:
        if action == sqlite3.SQLITE_READ and second:
            found.add((str(first).lower(), str(second).lower()))
        return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY

    database.set_authorizer(note)
    run(database, f"EXPLAIN {query}", GRADED_ROWS, GRADED_BYTES)
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def schema(database: sqlite3.Connection) -> str:
    """The tables, as they were created."""
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return "\n".join(row[0] for row in rows)
