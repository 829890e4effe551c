"""The form in which a ledger is stored: each posting is a row, so that hundreds of them stay small. Older forms are read, too.

A row holds what differs from nothing, in the order that `columns` tells; what a newer version has added is a column more, and
is kept. What was spent tells that a posting is settled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_OLD, _NEW = "genops.ledger.v1", "genops.ledger.v2"
_COLUMNS = ("commit", "reserved_usd", "estimated_usd", "reserved_at", "spent_usd", "approved_by")
"""In this order, since what comes last is mostly absent."""

Plain = dict[str, Any]


def packed(plain: Plain) -> bytes:
    """Return a ledger, dumped as JSON would have it, in its stored form."""
    postings = [
        (entry["dataset"], account, purpose, _row(posting))
        for account, entry in plain.pop("entries", {}).items()
        for purpose, posting in entry.get("purposes", {}).items()
    ]
    columns = [*_COLUMNS, *sorted({name for *_, row in postings for name in row} - {*_COLUMNS})]
    rows: Plain = {}
    for dataset, account, purpose, row in postings:
        values = [row.get(name) for name in columns]
        while values and values[-1] is None:
            values.pop()
        rows.setdefault(dataset, {}).setdefault(account, {})[purpose] = values
    stored = {**plain, "columns": columns, "entries": rows}
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode()


def _row(posting: Plain) -> Plain:
    row = {name: value for name, value in posting.items() if name != "settled"}
    if posting.get("settled"):
        row.setdefault("spent_usd", "0")
    return row


def unpacked(stored: Plain, *, only: str | None = None) -> Plain:
    """Return what `packed` was given, of its stored form or that of an older version; anything else as it is.

    Args:
        stored: as JSON has it.
        only: the account whose postings are wanted; None for all.

    Raises:
        ValueError: the rows are none.
    """
    found = dict(stored)
    if found.get("schema") == _OLD and "totals" not in found:
        return found | {"schema": _NEW}
    if "columns" not in found:
        return found
    columns, rows = found.pop("columns"), found.pop("entries", {})
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns) or not isinstance(rows, dict):
        raise ValueError("its rows have no columns")
    entries: Plain = {}
    for dataset, account, purpose, values in _rows(rows, only):
        if not isinstance(values, list) or len(values) > len(columns):
            raise ValueError(f"{account} has a row that is none, for {purpose}")
        posting = {name: value for name, value in zip(columns, values, strict=False) if value is not None}
        entry = entries.setdefault(account, {"dataset": dataset, "purposes": {}})
        if entry["dataset"] != dataset:
            raise ValueError(f"{account} stands under two datasets")
        entry["purposes"][purpose] = posting | {"settled": "spent_usd" in posting}
    return found | {"entries": entries, "totals": found.get("totals", {})}


def _rows(rows: Mapping[str, Any], only: str | None) -> Iterator[tuple[str, str, str, Any]]:
    for dataset, accounts in rows.items():
        if not isinstance(accounts, dict):
            raise ValueError(f"{dataset} has no accounts")  # noqa: TRY004 - pydantic makes a finding of it
        for account, purposes in accounts.items() if only is None else [(only, accounts.get(only, {}))]:
            if not isinstance(purposes, dict):
                raise ValueError(f"{account} has no purposes")  # noqa: TRY004 - as above
            for purpose, values in purposes.items():
                yield dataset, account, purpose, values
