"""The local store on disk: every write goes to a SQLite file, which the next process begins with.

A write is in the file when it is answered, so that a process that is killed loses nothing; what the
machine itself loses in a crash is not guarded against.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from devkit.emulator.store.dynamodb import DynamoDb, Key
from devkit.emulator.store.s3 import S3, Object
from devkit.emulator.store.values import Item

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, request TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    name TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, PRIMARY KEY (name, pk, sk)
);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, body BLOB, headers TEXT, at REAL, PRIMARY KEY (bucket, key)
);
"""


class Kept:
    """A store's file.

    Args:
        path: made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def load(self, dynamodb: DynamoDb, s3: S3) -> bool:
        """Fill a store with what is kept; False where that is nothing."""
        tables = self._file.execute("SELECT request FROM tables").fetchall()
        for (request,) in tables:
            dynamodb.call("CreateTable", json.loads(request))
        for name, item in self._file.execute("SELECT name, item FROM items"):
            dynamodb.load(name, json.loads(item))
        for bucket, key, *rest in self._file.execute(
            "SELECT bucket, key, body, headers, at FROM objects"
        ):
            body, headers, at = rest
            s3.load(bucket, key, Object(body, json.loads(headers), at) if key else None)
        return bool(tables)

    def table(self, request: dict[str, Any]) -> None:
        """Keep that a table was made."""
        self._write(
            "INSERT OR REPLACE INTO tables VALUES (?, ?)", request["TableName"], json.dumps(request)
        )

    def row(self, table: str, key: Key, item: Item | None) -> None:
        """Keep an item as it is now."""
        place = (table, str(key[0]), str(key[1]))
        if item is None:
            self._write("DELETE FROM items WHERE name = ? AND pk = ? AND sk = ?", *place)
        else:
            self._write(
                "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", *place, json.dumps(item)
            )

    def object(self, bucket: str, key: str, kept: Object | None) -> None:
        """Keep an object as it is now; without a key, that there is the bucket."""
        if kept is None and key:
            self._write("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key)
            return
        body, headers, at = (
            (kept.body, json.dumps(kept.headers), kept.at) if kept else (b"", "{}", 0)
        )
        self._write(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", bucket, key, body, headers, at
        )

    def _write(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._file.execute(statement, values)
