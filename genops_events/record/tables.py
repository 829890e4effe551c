"""Where the tables for analysis lie in the bucket, and the marks of what is still to be done for them.

A **part** holds the rows of one table that belong together: those of one candidate, or of one month's ledger. It is
written as JSON Lines and as Parquet, and replaced whole.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from genops_events.reading.object_names import ROOT
from genops_events.record.document import Document

TABLES_ROOT = f"{ROOT}tables/"
DUE = f"{TABLES_ROOT}due/"
"""A mark of each candidate whose rows are not what the record says, or may not be."""

LOADING = f"{TABLES_ROOT}bigquery/"
"""Everything about loading into BigQuery lies below it, a folder for each dataset."""


class Due(Document):
    """The candidate's parts are to be written anew."""

    SCHEMA: ClassVar[str] = "genops.tables-due.v1"


class TablesState(BaseModel):
    """What the parts were made from, as far as that is not marked: shared, changed by compare-and-set."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-state.v1"
    columns: str = ""
    """Fingerprint of the tables' columns: where a new version has others, everything is written anew."""
    open: tuple[str, ...] = ()
    """Open candidates that were marked as due since they became candidates."""
    ledgers: dict[str, int] = Field(default_factory=dict)
    """Generation of each month's ledger that its part was made from."""


class Loading(BaseModel):
    """How far one table of BigQuery is: shared, changed by compare-and-set."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-loading.v1"
    table_created_ms: int
    """Of the table that all older parts were marked for; another table gets them all again."""
    failed_jobs: int = 0
    """A job id serves once: after a failed job, another one has to be made up."""


class Pending(BaseModel):
    """A part is to be loaded into BigQuery."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_name: Annotated[str, Field(alias="schema")] = "genops.tables-pending.v1"
    part: str
    """Name of the Parquet object."""


def due_path(candidate: str) -> str:
    """Return where it is marked that the candidate's parts are to be written anew."""
    return f"{DUE}{candidate}.json"


def state_path() -> str:
    """Return where `TablesState` lies."""
    return f"{TABLES_ROOT}state.json"


def parts_prefix(table: str) -> str:
    """Return the prefix of a table's parts."""
    return f"{TABLES_ROOT}parts/{table}/"


def candidate_part(table: str, candidate: str, arrived_at: datetime) -> str:
    """Return the name of a candidate's part of a table, without its ending; the day is that of the arrival."""
    return f"{parts_prefix(table)}{arrived_at.astimezone(UTC):%Y-%m-%d}/{candidate}"


def ledger_part(month: str) -> str:
    """Return the name of a month's part of the table `spend`, without its ending."""
    return f"{parts_prefix('spend')}{month}-01/{month}"


def loading_prefix(dataset: str) -> str:
    """Return the prefix of everything about loading into a dataset of BigQuery."""
    return f"{LOADING}{dataset}/"


def loading_path(dataset: str, table: str) -> str:
    """Return where `Loading` of a table lies."""
    return f"{loading_prefix(dataset)}{table}.json"


def pending_prefix(dataset: str, table: str) -> str:
    """Return the prefix of the marks of a table's parts that are to be loaded."""
    return f"{loading_prefix(dataset)}{table}/"


def pending_path(dataset: str, table: str, part: str) -> str:
    """Return where it is marked that a part (without its ending) is to be loaded."""
    return f"{pending_prefix(dataset, table)}{part.rpartition('/')[2]}.json"
