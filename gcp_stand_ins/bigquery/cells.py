"""Write rows as BigQuery's REST API does: every value a string, `{"f": [{"v": …}]}`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gcp_stand_ins.bigquery.database import quoted
from gcp_stand_ins.bigquery.schema import Field, duckdb_type


def select_list(fields: Sequence[Field]) -> str:
    """Return what to select so that Python gets values it knows: an instant with a zone would need a package of its own."""
    return ", ".join(f"CAST({quoted(one['name'])} AS {duckdb_type(one, naive=True)})" for one in fields)


def wire_row(fields: Sequence[Field], row: Sequence[Any], *, whole_micros: bool) -> dict[str, Any]:
    """Return a row as it is sent.

    Args:
        fields: the schema.
        row: as DuckDB gives it for `select_list`.
        whole_micros: instants as whole microseconds; as seconds with a fraction otherwise.
    """
    return {"f": [{"v": _cell(field, value, whole_micros)} for field, value in zip(fields, row, strict=True)]}


def _cell(field: Field, value: Any, whole_micros: bool) -> Any:  # noqa: FBT001 - one of three
    if field["mode"] == "REPEATED":
        single = {**field, "mode": "NULLABLE"}
        return [{"v": _cell(single, one, whole_micros)} for one in value or []]
    if value is None:
        return None
    if field["type"] == "RECORD":
        return wire_row(field["fields"], [value[one["name"]] for one in field["fields"]], whole_micros=whole_micros)
    return _scalar(field["type"], value, whole_micros)


def _scalar(kind: str, value: Any, whole_micros: bool) -> str:  # noqa: FBT001, PLR0911 - a case for each type
    match kind:
        case "BOOLEAN":
            return "true" if value else "false"
        case "BYTES":
            return base64.b64encode(value).decode()
        case "TIMESTAMP":
            since = value.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
            micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            return str(micros) if whole_micros else f"{micros / 1_000_000!r}"
        case "NUMERIC":
            # Not by `normalize`, which rounds to 28 digits.
            digits = f"{Decimal(value):f}"
            return digits.rstrip("0").rstrip(".") if "." in digits else digits
        case "DATETIME" | "DATE" | "TIME":
            return str(value.isoformat())
        case "FLOAT":
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))
        case _:
            return str(value)
