"""Tell rows that the tables can hold from those that they cannot: one bad value costs its own row, and is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from genops_events.reading.storable import MOST_INTEGER
from genops_events.tables.schema import Column, Kind, Table

MOST_CELL_BYTES = 10 * 1024 * 1024
"""BigQuery's limit of a cell is that of a row, 10 MB in a query's answer: https://cloud.google.com/bigquery/quotas."""
_MOST_USD = Decimal(10) ** 29
"""BigQuery's NUMERIC has 29 digits before the point and 9 behind it."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Fitting:
    """Rows that the table can hold, and what is wrong with the others."""

    rows: list[Mapping[str, Any]]
    problems: list[str]


def fitting(table: Table, rows: Iterable[Mapping[str, Any]]) -> Fitting:
    """Return the rows that the table can hold, in their order, and for each other one a sentence that names it."""
    found = Fitting([], [])
    for row in rows:
        problem = next((text for one in table.columns if (text := _problem(one, row.get(one.name))) is not None), None)
        if problem is None:
            found.rows.append(row)
        else:
            key = ", ".join(_shown(row.get(name)) for name in table.key)
            found.problems.append(f"The row {key} of the table {table.name} is left out: {problem}.")
    return found


def _problem(column: Column, value: Any) -> str | None:
    if value is None:
        return f"`{column.name}` is missing" if column.mode == "REQUIRED" else None
    if _fits(column, value):
        return None
    return f"`{column.name}` is no {column.kind} that the table can hold: {_shown(value)}"


def _fits(column: Column, value: Any) -> bool:
    try:
        return _FITS[column.kind](value)
    except (ArithmeticError, AttributeError, TypeError, ValueError):  # UnicodeEncodeError and OverflowError among them
        return False


def _is_amount(value: Any) -> bool:
    amount = Decimal(value)
    # An exponent of minus a million makes a text of a million zeros.
    return amount.is_finite() and abs(amount) < _MOST_USD and (not amount or amount.adjusted() > -_SHOWN)


_FITS: dict[Kind, Callable[[Any], bool]] = {
    "STRING": lambda value: isinstance(value, str) and len(value.encode()) <= MOST_CELL_BYTES,
    "INTEGER": lambda value: isinstance(value, int) and -MOST_INTEGER - 1 <= value <= MOST_INTEGER,
    "FLOAT": lambda value: isinstance(value, float) or (isinstance(value, int) and math.isfinite(float(value))),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "NUMERIC": _is_amount,
    "TIMESTAMP": lambda value: value.tzinfo is not None and isinstance(value.astimezone(UTC), datetime),
}


def _shown(value: Any) -> str:
    if isinstance(value, int) and not -MOST_INTEGER < value < MOST_INTEGER:
        return f"an integer of {value.bit_length():,} bits"
    text = str(value)
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")[1:-1]
