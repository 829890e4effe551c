"""JSON documents on disk that outlive the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Database:
    """One SQLite file; what was put is there after `kill -9`.

    Write-ahead logging without a sync per write: a dead process loses nothing, a dead machine may lose the last writes.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, body BLOB, PRIMARY KEY (kind, id))"
        )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Write all changes within it together: many of them in the time of one, and all or none after a kill."""
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")


class Shelf(Generic[T]):
    """The documents of one kind: all in memory, each change on disk before the call returns.

    Args:
        database: where they are kept.
        kind: their name there.
        of: their type, anything that msgspec reads and writes.
    """

    def __init__(self, database: Database, kind: str, of: type[T]) -> None:
        self._connection = database.connection
        self._kind = kind
        rows = self._connection.execute("SELECT id, body FROM documents WHERE kind = ?", (kind,))
        self._all: dict[str, T] = {key: msgspec.json.decode(body, type=of) for key, body in rows}

    def get(self, key: str) -> T | None:
        """Return the document of that key, or None where there is none."""
        return self._all.get(key)

    def put(self, key: str, value: T) -> T:
        """Keep `value` under `key`, in place of what was there, and return it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (self._kind, key, msgspec.json.encode(value))
        )
        self._all[key] = value
        return value

    def drop(self, key: str) -> None:
        """Forget the document of that key."""
        self._connection.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (self._kind, key))
        self._all.pop(key, None)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)
