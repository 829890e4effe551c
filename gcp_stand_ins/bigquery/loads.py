"""Load jobs: NDJSON, CSV and Parquet, from an upload or from Cloud Storage."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.database import Database, quoted, text
from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_found, not_implemented
from gcp_stand_ins.bigquery.names import TableName
from gcp_stand_ins.bigquery.queries import prepare
from gcp_stand_ins.bigquery.results import fields_of_query
from gcp_stand_ins.bigquery.rights import Rights
from gcp_stand_ins.bigquery.schema import Field, checked_fields, same_type
from gcp_stand_ins.bigquery.streaming import add_rows
from gcp_stand_ins.bigquery.values import row_problems

_TAKEN = {
    *("sourceUris", "schema", "destinationTable", "createDisposition", "writeDisposition", "sourceFormat"),
    *("maxBadRecords", "ignoreUnknownValues", "autodetect", "skipLeadingRows", "fieldDelimiter", "quote"),
    *("allowQuotedNewlines", "allowJaggedRows", "nullMarker", "timePartitioning", "clustering"),
    *("destinationTableProperties", "encoding", "parquetOptions"),
}
_FORMATS = ("CSV", "NEWLINE_DELIMITED_JSON", "PARQUET")
_NAMED = 20
_GZIP = b"\x1f\x8b"
Line = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Loads:
    """Puts files into tables; every method runs inside a transaction."""

    catalog: Catalog

    def check(self, config: Mapping[str, Any], project: str) -> TableName:
        """Return the destination of a load job.

        Raises:
            ApiError: something in the configuration is wrong or not implemented.
        """
        if unknown := sorted(name for name in set(config) - _TAKEN if config[name]):
            raise not_implemented(f"configuration.load.{unknown[0]}")
        if _format(config) not in _FORMATS:
            raise not_implemented(f"sourceFormat {_format(config)}: it takes {', '.join(_FORMATS)}")
        if str(config.get("encoding") or "UTF-8").upper() != "UTF-8":
            raise not_implemented(f"encoding {config['encoding']}")
        options = config.get("parquetOptions") or {}
        if others := sorted(name for name in set(options) - {"enableListInference"} if options[name]):
            raise not_implemented(f"configuration.load.parquetOptions.{others[0]}")
        return TableName.of(config.get("destinationTable") or {}, project)

    def run(
        self, config: Mapping[str, Any], project: str, files: Sequence[Path], *, rights: Rights, full: bool
    ) -> dict[str, Any]:
        """Run a load job; return its statistics.

        Args:
            config: `configuration.load`.
            project: of a destination that names none.
            files: what is loaded, on this disk.
            rights: of the caller.
            full: no table takes a row more.
        """
        name = self.check(config, project)
        # All three, whatever is there: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet (read 2026-12-01)
        rights.check("bigquery.tables.create", name.parent)
        for permission in ("bigquery.tables.update", "bigquery.tables.updateData"):
            rights.check(permission, name)
        if full:
            raise ApiError("quotaExceeded", f"Quota exceeded: {name} takes no row more (injected fault).")
        if _format(config) == "PARQUET" and not (config.get("parquetOptions") or {}).get("enableListInference"):
            self._refuse_lists(files)
        fields = self._fields(config, name, files)
        layout = {key: config[key] for key in ("timePartitioning", "clustering") if config.get(key)}
        described = {**(config.get("destinationTableProperties") or {}), **layout}
        # On a table that is there, a schema counts only where the job names one.
        named = (config.get("schema") or {}).get("fields") or not self.catalog.exists(name)
        given = {**described, "schema": {"fields": fields}} if named else described
        prepare(self.catalog, name, config, given, default="WRITE_APPEND")
        target = self.catalog.fields(name)
        if _format(config) == "PARQUET":
            count, bad = self._parquet(config, name, target, files), 0
        else:
            count, bad = self._lines(config, name, target, files)
        self.catalog.touch(name)
        size = sum(one.stat().st_size for one in files)
        return {
            "inputFiles": str(len(files)),
            "inputFileBytes": str(size),
            "outputRows": str(count),
            "outputBytes": str(size),
            "badRecords": str(bad),
        }

    def _fields(self, config: Mapping[str, Any], name: TableName, files: Sequence[Path]) -> list[Field]:
        if config.get("createDisposition") == "CREATE_NEVER" and not self.catalog.exists(name):
            raise not_found("Table", str(name))
        given = (config.get("schema") or {}).get("fields")
        if given:
            return checked_fields(given)
        truncates = str(config.get("writeDisposition") or "").startswith("WRITE_TRUNCATE")
        if self.catalog.exists(name) and not (config.get("autodetect") and truncates):
            return self.catalog.fields(name)
        if _format(config) != "PARQUET" and not config.get("autodetect"):
            raise invalid("No schema specified on job or table.", location=name.table)
        return self._found(config, files)

    def _found(self, config: Mapping[str, Any], files: Sequence[Path]) -> list[Field]:
        if not files:
            raise invalid("There is no file to find a schema in.")
        listed = f"[{', '.join(text(one) for one in files)}]"
        match _format(config):
            case "PARQUET":
                source = f"read_parquet({listed}, union_by_name = true)"
            case "CSV":
                source = f"read_csv({listed}, delim = {text(config.get('fieldDelimiter') or ',')})"
            case _:
                source = f"read_json({listed}, format = 'newline_delimited')"
        return fields_of_query(self.catalog.database, f"SELECT * FROM {source}")  # noqa: S608

    def _lines(
        self, config: Mapping[str, Any], name: TableName, fields: Sequence[Field], files: Sequence[Path]
    ) -> tuple[int, int]:
        """Load lines; return how many rows were added, and how many bad ones were left out."""
        most = int(config.get("maxBadRecords") or 0)
        wrong: list[ApiError] = []
        bad = 0
        read = _csv_lines if _format(config) == "CSV" else _json_lines

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal bad
            for file in files:
                for number, given in read(file, config, fields):
                    ignore = bool(config.get("ignoreUnknownValues"))
                    problems = [given] if isinstance(given, ApiError) else None
                    row: dict[str, Any] = {}
                    if problems is None:
                        row, problems = row_problems(fields, given, ignore_unknown=ignore)
                    if not problems:
                        yield row
                        continue
                    bad += 1
                    if len(wrong) < _NAMED:
                        text_ = f"Error while reading data, error message: {problems[0].message} Line: {number}"
                        wrong.append(invalid(text_, location=problems[0].location))

        count = add_rows(self.catalog.database, name.sql, fields, rows())
        if bad > most:
            said = f"Error while reading data, error message: too many errors, giving up. Rows: {count + bad}; errors: {bad}."
            raise ApiError("invalid", f"{said} {wrong[0].message}", location=wrong[0].location, causes=wrong)
        return count, bad

    def _refuse_lists(self, files: Sequence[Path]) -> None:
        """Refuse lists, which BigQuery, unless told otherwise, loads as records of what lies in the file to hold them.

        https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet (read 2026-12-01)

        Raises:
            ApiError: there is one.
        """
        for file in files:
            sql = f"SELECT name FROM parquet_schema({text(file)}) WHERE converted_type = 'LIST'"  # noqa: S608
            for (name,) in self.catalog.database.rows(sql):
                raise not_implemented(f"lists in Parquet (field {name}) without parquetOptions.enableListInference")

    def _parquet(
        self, config: Mapping[str, Any], name: TableName, fields: Sequence[Field], files: Sequence[Path]
    ) -> int:
        database = self.catalog.database
        if not files:
            return 0
        known = {one["name"].lower(): one for one in fields}
        for file in files:
            for found in fields_of_query(database, f"SELECT * FROM read_parquet({text(file)})"):  # noqa: S608
                there = known.get(found["name"].lower())
                if there is None and not config.get("ignoreUnknownValues"):
                    raise invalid(f"no such field: {found['name']}.", location=found["name"])
                if there is not None and there["mode"] == "REQUIRED" and _is_optional(database, file, found["name"]):
                    raise invalid(
                        f"Error while reading data, error message: Provided schema is not compatible with the file. Field "
                        f"'{found['name']}' is specified as REQUIRED in provided schema which does not match NULLABLE as "
                        "specified in the file.",
                        location=found["name"],
                    )
                if there is not None and not same_type(there, found):
                    raise invalid(
                        f"Error while reading data, error message: Parquet column '{found['name']}' has type "
                        f"{found['type']} which does not match the target type {there['type']}",
                        location=found["name"],
                    )
        listed = ", ".join(text(one) for one in files)
        source = f"read_parquet([{listed}], union_by_name = true)"
        present = {one["name"].lower() for one in fields_of_query(database, f"SELECT * FROM {source}")}  # noqa: S608
        names = [one["name"] for one in fields if one["name"].lower() in present]
        for one in fields:
            if one["mode"] == "REQUIRED" and one["name"].lower() not in present:
                raise invalid(f"Required field {one['name']} is missing in the Parquet files.", location=one["name"])
        columns = ", ".join(quoted(one) for one in names)
        added = database.rows(f"INSERT INTO {name.sql} ({columns}) SELECT {columns} FROM {source}")  # noqa: S608
        return int(added[0][0])


def _is_optional(database: Database, file: Path, name: str) -> bool:
    """Tell whether a column of a Parquet file may be NULL, whatever it holds: BigQuery goes by that alone."""
    sql = f"SELECT repetition_type FROM parquet_schema({text(file)}) WHERE name = ?"  # noqa: S608
    return any(kind == "OPTIONAL" for (kind,) in database.rows(sql, [name]))


def _format(config: Mapping[str, Any]) -> str:
    return str(config.get("sourceFormat") or "CSV").upper()


def _opened(file: Path) -> io.TextIOBase:
    with file.open("rb") as raw:
        opening: Any = gzip.open if raw.read(2) == _GZIP else open
    opened: io.TextIOBase = opening(file, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return opened


def _json_lines(file: Path, _config: Mapping[str, Any], _fields: Sequence[Field]) -> Iterator[Line]:
    with _opened(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, invalid(f"JSON parsing error in row: {error}.")


def _csv_lines(file: Path, config: Mapping[str, Any], fields: Sequence[Field]) -> Iterator[Line]:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(config.get("fieldDelimiter") or ",", config.get("fieldDelimiter") or ",")
    quote = config.get("quote", '"')
    style: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    names = [one["name"] for one in fields]
    kinds = {one["name"]: one["type"] for one in fields}
    null = config.get("nullMarker")
    skipped = int(config.get("skipLeadingRows") or 0)
    with _opened(file) as lines:
        for number, values in enumerate(csv.reader(lines, delimiter=delimiter, **style), start=1):
            if number <= skipped or not values:
                continue
            if len(values) > len(names) and not config.get("ignoreUnknownValues"):
                yield number, invalid(f"Too many values in row: {len(values)}, the table has {len(names)} columns.")
            elif len(values) < len(names) and not config.get("allowJaggedRows"):
                yield number, invalid(f"Missing values in row: {len(values)}, the table has {len(names)} columns.")
            else:
                pairs = zip(names, values, strict=False)
                yield number, {name: _csv_value(value, kinds[name], null) for name, value in pairs}


def _csv_value(value: str, kind: str, null: str | None) -> str | None:
    if null is not None:
        return None if value == null else value
    return None if value == "" and kind != "STRING" else value
