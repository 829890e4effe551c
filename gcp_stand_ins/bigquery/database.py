"""One DuckDB file that holds all rows, and beside them the documents that describe them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb

T = TypeVar("T")
Document = dict[str, Any]

_DOCUMENTS = '"_meta".documents'
_TABLES = """
CREATE SCHEMA IF NOT EXISTS "_meta";
CREATE SCHEMA IF NOT EXISTS "_results";
CREATE TABLE IF NOT EXISTS "_meta".documents (kind VARCHAR NOT NULL, name VARCHAR NOT NULL, document VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS "_meta".insert_ids (in_table VARCHAR NOT NULL, id VARCHAR NOT NULL, came_at DOUBLE NOT NULL);
"""
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    # Small blocks, written early: many small tables would fill the memory otherwise, 256 KB for each column.
    "default_block_size": "16384",
    "wal_autocheckpoint": "1MB",
    # Nothing is ever fetched: what is used is linked in.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_ALONE = "SET enable_external_access = false; SET python_enable_replacements = false; SET lock_configuration = true"


class Database:
    """A single connection, used from one thread: each call of the API is one uninterrupted step.

    What a transaction has committed is on disk, documents and rows together; a kill loses nothing else.

    Args:
        path: the file; created when it is not there.

    Raises:
        RuntimeError: another process has the file, or it is none of DuckDB's.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.scratch = path.parent / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.uploads = path.parent / "uploads"
        self.uploads.mkdir(exist_ok=True)
        try:
            self.connection = duckdb.connect(path, config=_SETTINGS)
        except duckdb.Error as error:
            raise RuntimeError(
                f"{path} cannot be used: {error}. If it is locked, another BigQuery stand-in runs on the same state "
                "folder; stop that one or give this one another --state."
            ) from error
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(_TABLES)
        # A query may come from anybody: it sees the tables, and of the disk what a load job has brought.
        self.connection.execute(f"SET allowed_directories = [{text(self.scratch)}, {text(self.uploads)}]; {_ALONE}")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duckdb")
        self._changed: dict[tuple[str, str], Document | None] = {}
        self._documents: dict[str, dict[str, Document]] = {}
        for kind, name, whole in self.rows(f"SELECT kind, name, document FROM {_DOCUMENTS}"):  # noqa: S608
            self._documents.setdefault(kind, {})[name] = json.loads(whole)

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """Return what `work` returns, run in the one thread that may use this database."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply everything inside, or nothing."""
        self.connection.execute("BEGIN TRANSACTION")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._changed.clear()
            self.connection.execute("ROLLBACK")
            raise
        for (kind, name), document in self._changed.items():
            known = self._documents.setdefault(kind, {})
            if document is None:
                known.pop(name, None)
            else:
                known[name] = document
        self._changed.clear()

    def rows(self, sql: str, given: object = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(sql, given).fetchall()

    def execute(self, sql: str, given: object = None) -> None:
        """Run a statement whose result nobody needs."""
        self.connection.execute(sql, given)

    def get(self, kind: str, name: str) -> Document | None:
        """Return a document, as the transaction under way has left it; None where there is none."""
        if (kind, name) in self._changed:
            return self._changed[kind, name]
        return self._documents.get(kind, {}).get(name)

    def all(self, kind: str) -> dict[str, Document]:
        """Return all documents of a kind by name."""
        changed = {name: document for (of, name), document in self._changed.items() if of == kind}
        whole: dict[str, Document | None] = {**self._documents.get(kind, {}), **changed}
        return {name: document for name, document in whole.items() if document is not None}

    def put(self, kind: str, name: str, document: Document | None) -> None:
        """Keep a document, or remove it (None); part of the transaction under way."""
        self.execute(f"DELETE FROM {_DOCUMENTS} WHERE kind = ? AND name = ?", [kind, name])  # noqa: S608
        if document is not None:
            self.execute(f"INSERT INTO {_DOCUMENTS} VALUES (?, ?, ?)", [kind, name, json.dumps(document)])  # noqa: S608
        self._changed[kind, name] = document

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._thread.shutdown(wait=True)
        self.connection.close()


def quoted(*names: str) -> str:
    """Return names as one quoted SQL identifier, `"schema"."table"`."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def text(value: object) -> str:
    """Return a value as a SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
