"""`tabledata.insertAll` and `tabledata.list`; and how any rows in JSON get into a table."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.cells import select_list, wire_row
from gcp_stand_ins.bigquery.database import Database, quoted, text
from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_implemented
from gcp_stand_ins.bigquery.names import TableName
from gcp_stand_ins.bigquery.schema import Field, duckdb_type
from gcp_stand_ins.bigquery.values import refuse_nested_bytes, row_problems

_REMEMBERED_SECONDS = 60.0
"""How long an insertId is known. BigQuery says: at least one minute, as well as it can."""
_MOST_ROWS = 50_000
_PAGE_ROWS = 100_000
_PAGE_CELLS = 1_000_000
_LEAST_OBJECT_BYTES = 64 * 1024


def add_rows(database: Database, target: str, fields: Sequence[Field], rows: Iterable[Mapping[str, Any]]) -> int:
    """Add checked rows to a table of DuckDB; return how many.

    Args:
        database: holds the table.
        target: what it is called there, quoted.
        fields: its columns.
        rows: as `row_problems` returns them.
    """
    refuse_nested_bytes(fields)
    count, longest = 0, _LEAST_OBJECT_BYTES
    with tempfile.NamedTemporaryFile("w", dir=database.scratch, suffix=".jsonl", encoding="utf-8") as file:
        for row in rows:
            line = json.dumps(row) + "\n"
            longest = max(longest, len(line))
            file.write(line)
            count += 1
        file.flush()
        if count:
            # BYTES travel as base64, and become bytes here.
            kinds = {one["name"]: "VARCHAR" if one["type"] == "BYTES" else duckdb_type(one) for one in fields}
            columns = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in kinds.items())
            values = ", ".join(
                f"from_base64({quoted(one['name'])})" if one["type"] == "BYTES" else quoted(one["name"])
                for one in fields
            )
            names = ", ".join(quoted(one["name"]) for one in fields)
            database.execute(
                f"INSERT INTO {target} ({names}) SELECT {values} FROM read_json({text(Path(file.name))}, "  # noqa: S608
                f"format = 'newline_delimited', columns = {{{columns}}}, maximum_object_size = {longest})"
            )
    return count


@dataclass(frozen=True, slots=True)
class Streaming:
    """Rows that come and go without a job."""

    catalog: Catalog

    def insert_all(self, name: TableName, body: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
        """Add rows, all or (`skipInvalidRows`) the valid ones; return the error list.

        A row whose insertId came within the last minute is taken for a repetition, and acknowledged.
        """
        database = self.catalog.database
        if body.get("templateSuffix"):
            raise not_implemented("templateSuffix")
        if self.catalog.is_view(name):
            raise invalid(f"Cannot add rows to a view: {name}")
        fields = self.catalog.fields(name)
        rows = body.get("rows")
        if not isinstance(rows, list) or not rows or not all(isinstance(one, dict) for one in rows):
            raise invalid("No rows present in the request.")
        if len(rows) > _MOST_ROWS:
            raise invalid(f"Too many rows present in the request, limit: {_MOST_ROWS} row count: {len(rows)}.")
        if full:
            raise ApiError("quotaExceeded", f"Quota exceeded: {name} takes no more rows (injected fault).")
        ignore = body.get("ignoreUnknownValues") is True
        checked = [row_problems(fields, one.get("json"), ignore_unknown=ignore) for one in rows]
        errors = {
            number: [one.detail() for one in problems] for number, (_, problems) in enumerate(checked) if problems
        }
        skip_invalid = body.get("skipInvalidRows") is True
        if not errors or skip_invalid:
            good = [
                (rows[number].get("insertId"), row) for number, (row, _) in enumerate(checked) if number not in errors
            ]
            with database.transaction():
                add_rows(database, name.sql, fields, self._new(name, good))
                self.catalog.touch(name)
        else:
            errors |= {number: [_STOPPED] for number in range(len(rows)) if number not in errors}
        found = [{"index": number, "errors": errors[number]} for number in sorted(errors)]
        return {"kind": "bigquery#tableDataInsertAllResponse", **({"insertErrors": found} if found else {})}

    def _new(self, name: TableName, rows: Sequence[tuple[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return the rows that are no repetitions, and remember their insertIds."""
        database, now = self.catalog.database, time.time()
        database.execute('DELETE FROM "_meta".insert_ids WHERE came_at < ?', [now - _REMEMBERED_SECONDS])
        known = {one for (one,) in database.rows('SELECT id FROM "_meta".insert_ids WHERE in_table = ?', [str(name)])}
        new, ids = [], []
        for insert_id, row in rows:
            if insert_id is None:
                new.append(row)
            elif str(insert_id) not in known:
                known.add(str(insert_id))
                ids.append((str(name), str(insert_id), now))
                new.append(row)
        if ids:
            database.connection.executemany('INSERT INTO "_meta".insert_ids VALUES (?, ?, ?)', ids)
        return new

    def page(self, name: TableName, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of a table's rows, in the order in which they came."""
        if self.catalog.is_view(name):
            raise invalid(f"Cannot list a table of type VIEW: {name}")
        fields = self.catalog.fields(name)
        wanted = [one for one in (query.get("selectedFields") or "").split(",") if one]
        if wanted:
            known = {one["name"].lower(): one for one in fields}
            if missing := [one for one in wanted if one.lower() not in known]:
                raise invalid(f"No such field: {', '.join(missing)}.")
            fields = [known[one.lower()] for one in wanted]
        page = rows_page(self.catalog.database, name.sql, fields, query)
        return {"kind": "bigquery#tableDataList", "etag": f"{name}-{page['totalRows']}", **page}


_STOPPED = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}


def rows_page(database: Database, source: str, fields: Sequence[Field], query: Mapping[str, str]) -> dict[str, Any]:
    """Return rows of a table of DuckDB as a page: `rows`, `totalRows`, and `pageToken` where there are more.

    Args:
        database: holds the table.
        source: what it is called there, quoted.
        fields: the columns to return.
        query: `maxResults`, `startIndex`, `pageToken`, `formatOptions.useInt64Timestamp`.
    """
    if query.get("formatOptions.timestampOutputFormat", "FLOAT64").upper() not in {"FLOAT64", "INT64"}:
        raise not_implemented("timestamps in picoseconds")
    whole_micros = (
        query.get("formatOptions.useInt64Timestamp", "").lower() == "true"
        or query.get("formatOptions.timestampOutputFormat", "").upper() == "INT64"
    )
    start = number_of(query, "pageToken") or number_of(query, "startIndex") or 0
    asked = number_of(query, "maxResults")
    most = min(_PAGE_ROWS, max(1, _PAGE_CELLS // max(1, len(fields))), _PAGE_ROWS if asked is None else asked)
    total = database.rows(f"SELECT count(*) FROM {source}")[0][0]  # noqa: S608 - quoted
    found = []
    if fields and most:
        found = database.rows(f"SELECT {select_list(fields)} FROM {source} LIMIT {most} OFFSET {start}")  # noqa: S608
    page: dict[str, Any] = {"totalRows": str(total)}
    if found:
        page["rows"] = [wire_row(fields, row, whole_micros=whole_micros) for row in found]
    # maxResults=0 asks for the number of rows only, and gets no token; Google's client does so.
    if found and start + len(found) < total:
        page["pageToken"] = str(start + len(found))
    return page


def number_of(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number of the query, None where it is not given.

    Raises:
        ApiError: it is none, or below 0.
    """
    given = query.get(name)
    if given in {None, ""}:
        return None
    if not str(given).isdecimal():
        raise invalid(f"Invalid value for {name}: {given!r} is no whole number from 0.")
    return int(str(given))
