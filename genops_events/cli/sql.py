"""`genops sql`: query candidates, evaluations, spend and completion events from the bucket, with or without BigQuery."""

from __future__ import annotations

import csv
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect
from genops_events.reading.printable import printable, spreadsheet_cell

if TYPE_CHECKING:
    from genops_events.tables.query import QueryResult
    from genops_events.tables.schema import Table

_CELL = 80


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One statement in DuckDB's SQL; without it, the tables are listed.")
    ] = None,
    refresh: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--refresh", help="First write what has changed, as genops_tables does.")
    ] = False,
    cached: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep what is read for the next query.")] = True,  # noqa: FBT002
    as_csv: Annotated[  # noqa: FBT002
        bool, typer.Option("--csv", help="Print CSV on standard output, in which no text is a spreadsheet's formula.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Query the tables candidates, evaluations, spend and completions, out of the Parquet files in the bucket."""
    from genops_events.tables.schema import TABLES

    if query is None and not refresh:
        _list_tables(tuple(TABLES.values()), as_json=as_json)
        return
    with errors_reported():
        from genops_events.gcp.at_once import widen
        from genops_events.gcp.record_store import RecordStore
        from genops_events.tables import query as tables
        from genops_events.tables.parts import write_parts

        config = connect()
        store = RecordStore.open(config)
        widen(store.bucket.client)
        if refresh:
            while (written := write_parts(config, store)).more and written.candidates:
                human().print(f"Wrote {written.candidates} candidates, there are more ...")
            for problem in written.problems:
                human().print(problem, markup=False)
        if query is None:
            return
        found = tables.query(store, query, cache=_cache() if cached else None)
    _show(found, as_json=as_json, as_csv=as_csv)


def _show(found: QueryResult, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json([dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows])
        return
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow([spreadsheet_cell(name) for name in found.columns])
        writer.writerows([[_csv(value) for value in row] for row in found.rows])
        return
    from genops_events.cli.terminal import table

    console = human()
    console.print(table(found.columns, (tuple(map(_cell, row)) for row in found.rows), wraps=found.columns))
    count = "1 row" if len(found.rows) == 1 else f"{len(found.rows):,} rows"
    console.print(f"{count}, out of {found.files:,} files", style="dim")


def _list_tables(tables: tuple[Table, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                table.name: {
                    "description": table.description,
                    "key": table.key,
                    "columns": {one.name: {"type": one.kind, "description": one.description} for one in table.columns},
                }
                for table in tables
            }
        )
        return
    from genops_events.cli.terminal import table

    console = human()
    for each in tables:
        rows = ((f"  {one.name}", one.kind, one.description) for one in each.columns)
        console.print(f"[bold]genops.{each.name}[/]  {each.description}")
        console.print(table(("  column", "type", "meaning"), rows, wraps=("meaning",)))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        digits = f"{value:f}"  # neither 0E-9 nor 1.500000000
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    return value.isoformat() if hasattr(value, "isoformat") else value


def _csv(value: Any) -> Any:
    plain = "" if value is None else _plain(value)
    if isinstance(plain, int | float):
        return plain
    text = spreadsheet_cell(str(plain))
    return printable(text, lines=True) if sys.stdout.isatty() else text


def _cell(value: Any) -> str:
    text = "" if value is None else str(_plain(value))
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _cache() -> Path:
    """Return where parts are kept, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genops" / "tables"
