"""Check the values of incoming rows against a schema, field by field, as BigQuery does: nothing bad is swallowed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_implemented
from gcp_stand_ins.bigquery.schema import Field

_LARGEST = 2**63
_NUMERIC_PLACES = 9
_NUMERIC_DIGITS = 29
_ZONE = re.compile(r"\s*(UTC|Z)$", re.IGNORECASE)
_SHORT_ZONE = re.compile(r"([+-]\d{2})$")


def row_problems(fields: Sequence[Field], given: Any, *, ignore_unknown: bool) -> tuple[dict[str, Any], list[ApiError]]:
    """Return a row as it is stored, in JSON values that DuckDB reads by the schema, and all that is wrong with it.

    Args:
        fields: the schema.
        given: what came in.
        ignore_unknown: leave out what the schema does not know, instead of calling it wrong.
    """
    if not isinstance(given, Mapping):
        return {}, [invalid(f"A row must be a JSON object; found {type(given).__name__}.")]
    wrong: list[ApiError] = []
    row = _record(fields, given, "", wrong, ignore_unknown=ignore_unknown)
    return row, wrong


def _record(
    fields: Sequence[Field], given: Mapping[str, Any], prefix: str, wrong: list[ApiError], *, ignore_unknown: bool
) -> dict[str, Any]:
    known = {one["name"].lower(): one for one in fields}
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = known.get(str(name).lower())
        if field is not None:
            found[field["name"]] = value
        elif not ignore_unknown:
            wrong.append(invalid(f"no such field: {prefix}{name}.", location=f"{prefix}{name}"))
    row: dict[str, Any] = {}
    for field in fields:
        place = f"{prefix}{field['name']}"
        value = found.get(field["name"])
        if field["mode"] == "REPEATED":
            row[field["name"]] = _repeated(field, value, place, wrong, ignore_unknown=ignore_unknown)
        elif value is None:
            if field["mode"] == "REQUIRED":
                wrong.append(invalid(f"Missing required field: {place}.", location=place))
            row[field["name"]] = None
        else:
            row[field["name"]] = _single(field, value, place, wrong, ignore_unknown=ignore_unknown)
    return row


def _repeated(field: Field, value: Any, place: str, wrong: list[ApiError], *, ignore_unknown: bool) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        wrong.append(
            invalid(f"Array specified for non-repeated field, or none for a repeated one: {place}.", location=place)
        )
        return []
    if any(one is None for one in value):
        wrong.append(invalid(f"Only optional fields can be set to NULL. Field: {place}.", location=place))
        return []
    return [
        _single(field, one, f"{place}[{number}]", wrong, ignore_unknown=ignore_unknown)
        for number, one in enumerate(value)
    ]


def _single(field: Field, value: Any, place: str, wrong: list[ApiError], *, ignore_unknown: bool) -> Any:
    if field["type"] == "RECORD":
        if not isinstance(value, Mapping):
            wrong.append(invalid(f"This field: {place} is not a record.", location=place))
            return None
        return _record(field["fields"], value, f"{place}.", wrong, ignore_unknown=ignore_unknown)
    try:
        return _SCALARS[field["type"]](value)
    except (ValueError, TypeError, OverflowError, InvalidOperation, binascii.Error) as error:
        kind = field["type"].lower()
        wrong.append(invalid(f"Cannot convert value to {kind} (bad value): {value!r}: {error}", location=place))
        return None


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError("neither text nor number")


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a boolean")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("it has a fraction")
    whole = int(value.strip()) if isinstance(value, str) else int(value)
    if not -_LARGEST <= whole < _LARGEST:
        raise ValueError("it has more than 64 bits")
    return whole


def _float(value: Any) -> float | str:
    if isinstance(value, bool):
        raise TypeError("a boolean")
    number = float(value)
    # JSON has no word for these; DuckDB reads them as text.
    return number if number - number == 0 else str(number)


def _boolean(value: Any) -> bool:
    words = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}
    return words[str(value).strip().lower()] if str(value).strip().lower() in words else _no_boolean()


def _no_boolean() -> bool:
    raise ValueError("neither true nor false")


def _numeric(value: Any) -> str:
    if isinstance(value, bool):
        raise TypeError("a boolean")
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= Decimal(10) ** _NUMERIC_DIGITS:
        raise ValueError(f"at most {_NUMERIC_DIGITS} digits before the point")
    if len(f"{number:f}".partition(".")[2].rstrip("0")) > _NUMERIC_PLACES:
        raise ValueError(f"at most {_NUMERIC_PLACES} digits after the point")
    return f"{number:f}"


def _bytes(value: Any) -> str:
    base64.b64decode(value, validate=True)
    return str(value)


def _timestamp(value: Any) -> str:
    if isinstance(value, bool):
        raise TypeError("a boolean")
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC).isoformat()
    words = _SHORT_ZONE.sub(r"\1:00", _ZONE.sub("+00:00", str(value).strip()))
    instant = datetime.fromisoformat(words)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is not None:
        raise ValueError("it has a time zone")
    return moment.isoformat()


def _date(value: Any) -> str:
    return date.fromisoformat(_text(value)).isoformat()


def _time(value: Any) -> str:
    return time.fromisoformat(_text(value)).isoformat()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.strip()


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "STRING": _string,
    "BYTES": _bytes,
    "INTEGER": _integer,
    "FLOAT": _float,
    "BOOLEAN": _boolean,
    "NUMERIC": _numeric,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "DATE": _date,
    "TIME": _time,
    "JSON": _json,
}


def refuse_nested_bytes(fields: Sequence[Field], *, nested: bool = False) -> None:
    """Refuse to write BYTES inside an array or a record.

    Raises:
        ApiError: there are some.
    """
    for one in fields:
        if one["type"] == "BYTES" and (nested or one["mode"] == "REPEATED"):
            raise not_implemented(f"writing BYTES inside an array or a record (field {one['name']})")
        if one["type"] == "RECORD":
            refuse_nested_bytes(one["fields"], nested=True)
