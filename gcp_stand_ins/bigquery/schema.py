"""BigQuery's types, and what each is in DuckDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gcp_stand_ins.bigquery.database import quoted
from gcp_stand_ins.bigquery.errors import invalid, not_implemented

Field = dict[str, Any]
"""One column as a `TableFieldSchema`: name, type by its older name (INTEGER), mode, fields of a RECORD."""

_OLDER_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD", "DECIMAL": "NUMERIC"}
DUCKDB = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "NUMERIC": "DECIMAL(38,9)",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATETIME": "TIMESTAMP",
    "DATE": "DATE",
    "TIME": "TIME",
    "JSON": "JSON",
}
_BIGQUERY = {
    "varchar": "STRING",
    "blob": "BYTES",
    "boolean": "BOOLEAN",
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "hugeint"), "INTEGER"),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"), "INTEGER"),
    **dict.fromkeys(("float", "double"), "FLOAT"),
    "decimal": "NUMERIC",
    "timestamp with time zone": "TIMESTAMP",
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), "DATETIME"),
    "date": "DATE",
    "time": "TIME",
    **dict.fromkeys(("uuid", "enum"), "STRING"),
    '"null"': "INTEGER",
}
_NOT_HERE = {"BIGNUMERIC", "BIGDECIMAL", "GEOGRAPHY", "INTERVAL", "RANGE", "FOREIGN"}
_NAME = re.compile(r"[^\W\d][\w\- ]{0,299}")
_MODES = ("NULLABLE", "REQUIRED", "REPEATED")


def checked_fields(given: Any, *, where: str = "schema.fields") -> list[Field]:
    """Return a schema with types by their older names, every mode said.

    Raises:
        ApiError: it is none; a type that is not implemented here says so.
    """
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise invalid(f"{where} must be a list of fields.")
    fields = [_checked(one, where) for one in given]
    seen: set[str] = set()
    for one in fields:
        if one["name"].lower() in seen:
            raise invalid(f"Duplicate field name {one['name']} in {where}; case does not count.")
        seen.add(one["name"].lower())
    return fields


def _checked(given: Field, where: str) -> Field:
    name, kind = given.get("name"), given.get("type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(f"Invalid field name {name!r} in {where}: letters, digits and _, a letter or _ first.")
    kind = _OLDER_NAMES.get(str(kind).upper(), str(kind).upper())
    if kind in _NOT_HERE:
        raise not_implemented(f"the type {kind} (field {name})")
    mode = str(given.get("mode") or "NULLABLE").upper()
    if mode not in _MODES:
        raise invalid(f"Invalid mode {mode} of field {name}; it is one of {', '.join(_MODES)}.")
    field = {**given, "type": kind, "mode": mode}
    if kind == "RECORD":
        field["fields"] = checked_fields(given.get("fields"), where=f"{where}.{name}")
        if not field["fields"]:
            raise invalid(f"Field {name} is type RECORD but has no schema.")
    elif kind not in DUCKDB:
        raise invalid(f"Invalid value for type: {kind} is not a valid value (field {name}).")
    return field


def duckdb_type(field: Field, *, naive: bool = False) -> str:
    """Return the type of a column; `naive` gives instants without their time zone, which is UTC here anyway."""
    if field["type"] == "RECORD":
        parts = (f"{quoted(one['name'])} {duckdb_type(one, naive=naive)}" for one in field["fields"])
        kind = f"STRUCT({', '.join(parts)})"
    else:
        kind = DUCKDB[field["type"]]
        if naive and field["type"] == "TIMESTAMP":
            kind = "TIMESTAMP"
    return f"{kind}[]" if field["mode"] == "REPEATED" else kind


def columns_sql(fields: Sequence[Field]) -> str:
    """Return the columns of a CREATE TABLE."""
    parts = [
        f"{quoted(one['name'])} {duckdb_type(one)}{' NOT NULL' if one['mode'] == 'REQUIRED' else ''}" for one in fields
    ]
    return ", ".join(parts)


def field_of(name: str, kind: Any) -> Field:
    """Return the field that a column of DuckDB's type `kind` is.

    Raises:
        ApiError: BigQuery has no such type, or it is not implemented here.
    """
    if kind.id in {"list", "array"}:
        inner = field_of(name, dict(kind.children)["child"])
        if inner["mode"] == "REPEATED":
            raise invalid(f"Cannot create an array with element type ARRAY (column {name}).")
        return {**inner, "mode": "REPEATED"}
    if kind.id == "struct":
        return {
            "name": name,
            "type": "RECORD",
            "mode": "NULLABLE",
            "fields": [field_of(part, inner) for part, inner in kind.children],
        }
    found = "JSON" if str(kind) == "JSON" else _BIGQUERY.get(kind.id)
    if found is None:
        raise not_implemented(f"a result of type {kind} (column {name})")
    return {"name": name, "type": found, "mode": "NULLABLE"}


def same_type(one: Field, other: Field) -> bool:
    """Tell whether two fields hold the same values; whether they may be NULL does not count."""
    if (one["mode"] == "REPEATED") != (other["mode"] == "REPEATED") or one["type"] != other["type"]:
        return False
    if one["type"] != "RECORD":
        return True
    parts = {part["name"].lower(): part for part in other["fields"]}
    return len(parts) == len(one["fields"]) and all(
        part["name"].lower() in parts and same_type(part, parts[part["name"].lower()]) for part in one["fields"]
    )


def widened(old: Sequence[Field], new: Sequence[Field], table: str) -> list[tuple[str, Field]]:
    """Return what has to be done so that a table of the schema `old` gets the schema `new`: `add` or `relax` a column.

    Raises:
        ApiError: BigQuery does not allow it: a column is gone, has another type, or a new one is REQUIRED.
    """
    wanted = {one["name"].lower(): one for one in new}
    steps: list[tuple[str, Field]] = []
    for one in old:
        after = wanted.pop(one["name"].lower(), None)
        refusal = f"Provided Schema does not match Table {table}."
        if after is None:
            raise invalid(f"{refusal} Field {one['name']} is missing in new schema")
        if not same_type(one, after):
            raise invalid(f"{refusal} Field {one['name']} has changed type from {one['type']} to {after['type']}")
        if one["mode"] != after["mode"]:
            if one["mode"] != "REQUIRED":
                raise invalid(f"{refusal} Field {one['name']} has changed mode from {one['mode']} to {after['mode']}")
            steps.append(("relax", after))
    for one in wanted.values():
        if one["mode"] == "REQUIRED":
            raise invalid(f"Provided Schema does not match Table {table}. Cannot add required fields: {one['name']}")
        steps.append(("add", one))
    return steps
