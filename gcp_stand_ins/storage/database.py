"""Everything that this stand-in knows apart from the bytes of large objects, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, project TEXT NOT NULL, metageneration INTEGER NOT NULL, resource BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    live INTEGER NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, resource BLOB NOT NULL,
    PRIMARY KEY (bucket, name, generation)
);
CREATE UNIQUE INDEX IF NOT EXISTS live_objects ON objects (bucket, name) WHERE live = 1;
CREATE TABLE IF NOT EXISTS small_contents (key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL,
    resource BLOB NOT NULL, preconditions BLOB NOT NULL, started_at REAL NOT NULL, finished BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notifications (
    bucket TEXT NOT NULL, id INTEGER NOT NULL, resource BLOB NOT NULL, PRIMARY KEY (bucket, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, attributes BLOB NOT NULL, data BLOB NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_by_topic ON outbox (topic, id);
"""


class Database:
    """One connection, used from the event loop only, so that each transaction is one uninterrupted step.

    Write-ahead log without a sync per commit: what is committed is with the operating system, so a killed
    process loses nothing; a power cut may lose the last moments but leaves the file sound.

    Args:
        path: the file; created when it is not there.

    Raises:
        RuntimeError: another process has the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, cached_statements=256)
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise RuntimeError(
                f"{path} cannot be used: {error}. If it is locked, another storage stand-in runs on the same "
                f"state folder; stop that one or give this one another --state."
            ) from error
        self.execute = self._connection.execute
        self._last_generation = self.counter("generation")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply everything inside, or nothing; must not contain an `await`."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    def counter(self, name: str) -> int:
        """Return a counter's value, 0 when it was never set."""
        row = self.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_counter(self, name: str, value: int) -> None:
        """Keep `value`; part of the transaction under way."""
        self.execute("INSERT OR REPLACE INTO counters (name, value) VALUES (?, ?)", (name, value))

    def next_generation(self) -> int:
        """Return microseconds since the epoch, greater than any before, also across restarts and clock steps."""
        self._last_generation = max(time.time_ns() // 1000, self._last_generation + 1)
        self.set_counter("generation", self._last_generation)
        return self._last_generation

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._connection.close()
