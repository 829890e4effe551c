"""Query the tables in the bucket with DuckDB, without BigQuery: only the files of the tables that a query names are read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genops_events.errors import PermanentError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.record.tables import parts_prefix
from genops_events.tables.schema import TABLES, Table

if TYPE_CHECKING:
    import duckdb

    from genops_events.gcp.record_store import RecordStore

SCHEMA = "genops"
"""What the tables lie in: `genops.candidates` is found here and in a dataset of this name in BigQuery."""
_ZONED = "TIMESTAMP WITH TIME ZONE"
# A query comes from a person or a program that was asked about tables: it reads no file, writes none, and fetches nothing.
_ALONE = "SET enable_external_access = false; SET python_enable_replacements = false; SET lock_configuration = true"


class SqlProblem(PermanentError):
    """The query cannot be answered as it is."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query found."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    files: int
    """Parts that were read for it."""


def query(store: RecordStore, sql: str, *, cache: Path | None) -> QueryResult:
    """Return what a query in DuckDB's SQL finds in the tables.

    Args:
        store: the record, whose bucket holds the parts.
        sql: one statement.
        cache: folder in which parts are kept for the next query; None keeps nothing.

    Raises:
        SqlProblem: it is wrong, or names what is not there.
        CloudUnavailable: Cloud Storage does not answer.
    """
    import duckdb

    with _folder(cache) as folder, duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA {SCHEMA}; SET search_path = '{SCHEMA}'")
        for table in TABLES.values():
            defined = ", ".join(f"{one.name} {one.duckdb}" for one in table.columns)
            connection.execute(f"CREATE TABLE {SCHEMA}.{table.name} ({defined})")
        try:
            named = {one.rpartition(".")[2].lower() for one in connection.get_table_names(sql)}
            files = sum(_fill(connection, store, TABLES[name], folder) for name in sorted(named & set(TABLES)))
            connection.execute(_ALONE)
            columns, rows = _answer(connection, sql)
        except duckdb.Error as error:
            raise _problem(error) from error
    return QueryResult(columns, rows, files)


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    found: duckdb.DuckDBPyRelation | None = connection.sql(sql)  # None for what has no result
    if found is None:
        return (), []
    # Python gets instants without a zone, since values with one need a package that nobody else does; all are in UTC.
    zoned = [_ZONED in str(kind) for kind in found.types]
    columns = tuple(found.columns)
    if any(zoned):
        casts = [
            f"CAST({_quoted(name)} AS {str(kind).replace(_ZONED, 'TIMESTAMP')}) AS {_quoted(name)}"
            if has
            else _quoted(name)
            for name, kind, has in zip(columns, found.types, zoned, strict=True)
        ]
        found = found.project(", ".join(casts))
    rows = [
        tuple(
            value.replace(tzinfo=UTC) if has and isinstance(value, datetime) else value
            for value, has in zip(row, zoned, strict=True)
        )
        for row in found.fetchall()
    ]
    return columns, rows


def _fill(connection: duckdb.DuckDBPyConnection, store: RecordStore, table: Table, folder: Path) -> int:
    """Read the parts of a table; return how many there are."""
    files = _downloaded(store, table, folder)
    if not files:
        return 0
    listed = ", ".join("'" + str(one).replace("'", "''") + "'" for one in files)
    source = f"read_parquet([{listed}], union_by_name = true)"
    there = {name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    # A part that an earlier version wrote may lack a column, one of a later version may have more.
    names = ", ".join(name for name in table.names if name in there)
    connection.execute(f"INSERT INTO {SCHEMA}.{table.name} ({names}) SELECT {names} FROM {source}")  # noqa: S608
    return len(files)


def _downloaded(store: RecordStore, table: Table, folder: Path) -> list[Path]:
    """Return the table's parts on this disk; what is there already is not read again, what is old is removed."""
    from google.api_core.exceptions import NotFound

    place = folder / store.bucket.name / table.name
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {
        name: generation
        for name, generation in store.generations(parts_prefix(table.name)).items()
        if name.endswith(".parquet")
    }
    wanted = {place / f"{Path(name).stem}@{generation}.parquet": name for name, generation in names.items()}
    there = set(place.iterdir())
    for old in there - set(wanted):
        old.unlink(missing_ok=True)

    def fetch(file: Path, drafts: Path) -> Path | None:
        blob = store.bucket.blob(wanted[file])
        draft = drafts / file.name
        with google_call(f"read gs://{store.bucket.name}/{blob.name}"):
            try:
                # As it was listed; one that was replaced since is read as it is now.
                draft.write_bytes(blob.download_as_bytes(timeout=CALL_TIMEOUT_SECONDS))
            except NotFound:
                return None
        return draft.replace(file)

    # Drafts of its own: another query may be reading the same parts.
    with tempfile.TemporaryDirectory(prefix="drafts-", dir=folder) as drafts:
        fetched = at_once(lambda file: fetch(file, Path(drafts)), sorted(set(wanted) - there))
    return sorted([*(set(wanted) & there), *(one for one in fetched if one is not None)])


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    if cache is not None:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield cache
        return
    folder = Path(tempfile.mkdtemp(prefix="genops-sql-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _problem(error: Exception) -> SqlProblem:
    said = str(error).strip()
    return SqlProblem(said, tables_told())


def tables_told(tables: Sequence[Table] = tuple(TABLES.values())) -> str:
    """Return the tables and their columns, in words."""
    return "There are:\n" + "\n".join(f"  {SCHEMA}.{one.name}: {', '.join(one.names)}" for one in tables)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
