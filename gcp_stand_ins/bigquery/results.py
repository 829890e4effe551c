"""What queries leave: rows in a table that the job names, or in one of their own for a day."""

from __future__ import annotations

import hashlib
from typing import Any

from gcp_stand_ins.bigquery.catalog import now_ms
from gcp_stand_ins.bigquery.database import Database, quoted
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
    document = {"schema": {"fields": fields}, "creationTime": str(now_ms())}
    database.put("result", name.table, document)
    return name, fields


def drop_old_results(database: Database) -> None:
    """Remove the results that BigQuery would not have any more; part of the transaction under way."""
    for table, document in database.all("result").items():
        if int(document["creationTime"]) < now_ms() - KEPT_MS:
            database.execute(f"DROP TABLE IF EXISTS {quoted(RESULTS, table)}")
            database.put("result", table, None)
