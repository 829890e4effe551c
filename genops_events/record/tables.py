"""Paths of the tables for analysis in the bucket, and the marks of the work that is still to be done for them.

A **part** has the rows of one table that belong together: those of one candidate, or of one month's ledger. It is
written as JSON Lines and as Parquet, and always replaced as a whole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from genops_events.reading.object_names import ROOT
from genops_events.record.document import Document

TABLES_ROOT = f"{ROOT}tables/"
DUE = f"{TABLES_ROOT}due/"
"""Prefix of the marks of candidates whose rows may differ from the record."""

LOADING = f"{TABLES_ROOT}bigquery/"
"""Prefix of all documents about loading into BigQuery, with a folder for each dataset."""


class Due(Document):
    """The candidate's parts have to be written again."""

    SCHEMA: ClassVar[str] = "genops.tables-due.v1"


class TablesState(BaseModel):
    """The sources of the parts that have no marks of their own; shared, changed by compare-and-set."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-state.v1"
    columns: str = ""
    """Fingerprint of the tables' columns: if a new version has other columns, all parts are written again."""
    open: tuple[str, ...] = ()
    """Open candidates that were marked as due since they became candidates."""
    ledgers: dict[str, int] = Field(default_factory=dict)
    """By month, the generation of the ledger that its part was made from."""


class Loading(BaseModel):
    """Loading state of one table of BigQuery; shared, changed by compare-and-set."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-loading.v1"
    table_created_ms: int
    """Creation time in milliseconds of the table for which all older parts were marked; a new table gets all parts again."""
    failed_jobs: int = 0
    """Number of failed jobs; it is part of the next job's id, since an id can be used only once."""


class Pending(BaseModel):
    """A part has to be loaded into BigQuery."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-pending.v1"
    part: str
    """Name of the Parquet object."""


def due_path(candidate: str) -> str:
    """Return the path of the mark that the candidate's parts have to be written again."""
    return f"{DUE}{candidate}.json"


def due_beside_path(candidate: str, name: str) -> str:
    """Return the path of another such mark, for whoever comes within a second of the first: Cloud Storage takes one write a second."""
    return f"{DUE}{candidate}.{name}.json"


def state_path() -> str:
    """Return the path of `TablesState`."""
    return f"{TABLES_ROOT}state.json"


def parts_prefix(table: str) -> str:
    """Return the prefix of a table's parts."""
    return f"{TABLES_ROOT}parts/{table}/"


def candidate_part(table: str, candidate: str, arrived_at: datetime) -> str:
    """Return the name of a candidate's part of a table, without a suffix; the day is that of the arrival."""
    return f"{parts_prefix(table)}{arrived_at.astimezone(UTC):%Y-%m-%d}/{candidate}"


def ledger_part(month: str) -> str:
    """Return the name of a month's part of the table `spend`, without a suffix."""
    return f"{parts_prefix('spend')}{month}-01/{month}"


def loading_prefix(dataset: str) -> str:
    """Return the prefix of all documents about loading into a dataset of BigQuery."""
    return f"{LOADING}{dataset}/"


def loading_path(dataset: str, table: str) -> str:
    """Return the path of `Loading` of a table."""
    return f"{loading_prefix(dataset)}{table}.json"


def pending_prefix(dataset: str, table: str) -> str:
    """Return the prefix of the marks of a table's parts that have to be loaded."""
    return f"{loading_prefix(dataset)}{table}/"


def pending_path(dataset: str, table: str, part: str) -> str:
    """Return the path of the mark that a part (named without a suffix) has to be loaded."""
    return f"{pending_prefix(dataset, table)}{part.rpartition('/')[2]}.json"
