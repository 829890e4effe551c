"""What queries leave: rows in a table that the job names, or in one of their own for a day."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from gcp_stand_ins.bigquery.catalog import now_ms
from gcp_stand_ins.bigquery.database import Database, quoted
from gcp_stand_ins.bigquery.errors import invalid
from gcp_stand_ins.bigquery.names import RESULTS, TableName
from gcp_stand_ins.bigquery.schema import Field, field_of

KEPT_MS = 24 * 60 * 60 * 1000
"""How long BigQuery keeps the results of a query that names no destination."""


def fields_of_query(database: Database, sql: str) -> list[Field]:
    """Return the columns of a query of DuckDB's; nothing of it is run."""
    cursor = database.connection.execute(f"SELECT * FROM ({sql}) LIMIT 0")  # noqa: S608
    return fields_of_cursor(cursor)


def fields_of_cursor(cursor: Any) -> list[Field]:
    """Return the columns of what was just run."""
    return [field_of(name, kind) for name, kind, *_ in cursor.description]


def keep_result(database: Database, project: str, job: str, sql: str) -> tuple[TableName, list[Field]]:
    """Run a query into a table of its own; return that and its columns."""
    name = TableName(project, RESULTS, f"r{hashlib.sha256(f'{project}:{job}'.encode()).hexdigest()[:32]}")
    database.execute(f"CREATE OR REPLACE TABLE {name.sql} AS {sql}")
    fields = fields_of_query(database, f"SELECT * FROM {name.sql}")  # noqa: S608
    refuse_null_elements(database, name.sql, fields)
    document = {"schema": {"fields": fields}, "creationTime": str(now_ms())}
    database.put("result", name.table, document)
    return name, fields


def refuse_null_elements(database: Database, source: str, fields: Sequence[Field]) -> None:
    """Refuse a result that has an array with a NULL in it: a query may use one, but not answer with it.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#array_nulls (read 2026-12-01)

    Args:
        database: holds the result.
        source: what its table is called there, quoted.
        fields: its columns.

    Raises:
        ApiError: there is one.
    """
    for one in fields:
        if one["mode"] != "REPEATED":
            continue
        column = quoted(one["name"])
        if database.rows(f"SELECT 1 FROM {source} WHERE list_count({column}) < len({column}) LIMIT 1"):  # noqa: S608
            raise invalid(f"Array cannot have a null element; error in writing field {one['name']}")


def drop_old_results(database: Database) -> None:
    """Remove the results that BigQuery would not have any more; part of the transaction under way."""
    for table, document in database.all("result").items():
        if int(document["creationTime"]) < now_ms() - KEPT_MS:
            database.execute(f"DROP TABLE IF EXISTS {quoted(RESULTS, table)}")
            database.put("result", table, None)
