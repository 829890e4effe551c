"""Everything the stand-in keeps, in one SQLite file that survives `kill -9`.

Writes of one turn of the event loop are committed together, and whoever must not answer before waits for that commit.
What is acknowledged or too old is deleted, and the file gives the space back.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["topic", "subscription", "snapshot"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    uid INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, topic INTEGER, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS holds (
    owner INTEGER NOT NULL, message INTEGER NOT NULL, acknowledged INTEGER NOT NULL, failures INTEGER NOT NULL,
    PRIMARY KEY (owner, message)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policies (resource INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""

_FREE_PAGES = 256
"""A file with more free pages than this (1 MiB) is shrunk."""
_FREED_PAGES = 2048
"""So many pages (8 MiB) at a time, so that calls do not wait for it."""


class KeptResource(NamedTuple):
    """A topic, subscription or snapshot as found in the file."""

    uid: int
    kind: Kind
    topic_uid: int | None
    body: bytes


class KeptHold(NamedTuple):
    """A message that a resource still needs, as found in the file."""

    owner_uid: int
    message_id: int
    acknowledged: bool
    failures: int


class Journal:
    """The durable side of the broker.

    Args:
        path: the SQLite file; made with its folder if absent.
        on_failure: called once when a commit failed; what is in memory can then no longer be promised.
    """

    def __init__(self, path: Path, on_failure: Callable[[BaseException], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in (
            "auto_vacuum=INCREMENTAL",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "journal_size_limit=16777216",
        ):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(_SCHEMA)
        self._on_failure = on_failure
        # By table, so that the rows of one statement are seldom parted; the order counts within a table only.
        self._writes: dict[str, list[tuple[str, list[tuple[object, ...]]]]] = {}
        self._waiting: asyncio.Future[None] | None = None
        self._after: dict[Callable[[], None], None] = {}
        self._scheduled = False
        self._resource_uid = self._last("resources")
        # The clock, too: an id that was given to a message without holders is not in the file.
        self._message_id = max(self._last("messages"), time.time_ns() // 1000)

    def next_message_id(self) -> int:
        """Return an id greater than every one before, also before a restart."""
        self._message_id += 1
        return self._message_id

    def add_resource(self, kind: Kind, topic_uid: int | None, body: bytes) -> int:
        """Keep a new resource; return its uid."""
        self._resource_uid += 1
        self._write(
            "resources", "INSERT INTO resources VALUES (?, ?, ?, ?)", (self._resource_uid, kind, topic_uid, body)
        )
        return self._resource_uid

    def change_resource(self, uid: int, topic_uid: int | None, body: bytes) -> None:
        """Keep the new settings of a resource."""
        self._write("resources", "UPDATE resources SET topic = ?, body = ? WHERE uid = ?", (topic_uid, body, uid))

    def drop_resource(self, uid: int) -> None:
        """Forget a resource; its holds have been dropped before."""
        self._write("resources", "DELETE FROM resources WHERE uid = ?", (uid,))
        self._write("policies", "DELETE FROM policies WHERE resource = ?", (uid,))

    def keep_policy(self, uid: int, body: bytes) -> None:
        """Keep who may do what with a resource, in place of what was kept before."""
        self._write("policies", "INSERT OR REPLACE INTO policies VALUES (?, ?)", (uid, body))

    def add_message(self, message_id: int, body: bytes) -> None:
        """Keep a message."""
        self._write("messages", "INSERT INTO messages VALUES (?, ?)", (message_id, body))

    def drop_message(self, message_id: int) -> None:
        """Forget a message that nothing holds."""
        self._write("messages", "DELETE FROM messages WHERE id = ?", (message_id,))

    def hold(self, owner_uid: int, message_id: int, *, acknowledged: bool = False, failures: int = 0) -> None:
        """Keep, or change, what a resource knows about a message."""
        self._write(
            "holds", "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", (owner_uid, message_id, acknowledged, failures)
        )

    def drop_hold(self, owner_uid: int, message_id: int) -> None:
        """Note that a resource no longer needs a message."""
        self._write("holds", "DELETE FROM holds WHERE owner = ? AND message = ?", (owner_uid, message_id))

    def resources(self) -> Iterator[KeptResource]:
        """Yield what was kept, topics first."""
        for row in self._database.execute("SELECT uid, kind, topic, body FROM resources ORDER BY kind != 'topic', uid"):
            yield KeptResource(*row)

    def policies(self) -> Iterator[tuple[int, bytes]]:
        """Yield the kept access policies, by the uid of their resource."""
        yield from self._database.execute("SELECT resource, body FROM policies")

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Yield the kept messages, oldest first."""
        yield from self._database.execute("SELECT id, body FROM messages ORDER BY id")

    def holds(self) -> Iterator[KeptHold]:
        """Yield who needs which message, oldest message first for each."""
        rows = self._database.execute(
            "SELECT owner, message, acknowledged, failures FROM holds ORDER BY owner, message"
        )
        for owner, message, acknowledged, failures in rows:
            yield KeptHold(owner, message, bool(acknowledged), failures)

    async def committed(self) -> None:
        """Return when everything written so far would survive a kill.

        Raises:
            sqlite3.Error: it could not be written.
        """
        if not self._writes:
            return
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        # Shielded: a client that gives up must not take the commit away from the others.
        await asyncio.shield(self._waiting)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call `call` once when everything written so far is committed."""
        self._after[call] = None
        self._schedule()

    def compact(self) -> None:
        """Give free space back to the file system, a bounded amount per call."""
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        if free > _FREE_PAGES:
            # As a script: a single execute() frees one page and stops.
            self._database.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")
            # Only a checkpoint makes the file itself shorter, and an idle stand-in would never reach one.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Commit what is left and close the file."""
        self._commit()
        self._database.close()

    def _last(self, table: str) -> int:
        row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return row[0] if row else 0

    def _write(self, table: str, sql: str, row: tuple[object, ...]) -> None:
        writes = self._writes.setdefault(table, [])
        if writes and writes[-1][0] is sql:
            writes[-1][1].append(row)
        else:
            writes.append((sql, [row]))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        waiting, self._waiting = self._waiting, None
        writes, self._writes = self._writes, {}
        after, self._after = self._after, {}
        try:
            if writes:
                self._database.execute("BEGIN")
                for sql, rows in chain.from_iterable(writes.values()):
                    self._database.executemany(sql, rows)
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if waiting is not None:
                waiting.set_exception(error)
            self._on_failure(error)
            return
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        for call in after:
            call()
