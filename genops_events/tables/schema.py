"""The tables for analysis: their columns and keys, the same in Parquet, in BigQuery and in `genops sql`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Kind = Literal["STRING", "INTEGER", "FLOAT", "BOOLEAN", "NUMERIC", "TIMESTAMP"]
Mode = Literal["REQUIRED", "NULLABLE"]

DUCKDB_TYPES: dict[Kind, str] = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    # BigQuery's NUMERIC, digit by digit.
    "NUMERIC": "DECIMAL(38,9)",
    "TIMESTAMP": "TIMESTAMPTZ",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with BigQuery's name of its type."""

    name: str
    kind: Kind
    description: str
    mode: Mode = "NULLABLE"

    @property
    def duckdb(self) -> str:
        """Return its type in DuckDB."""
        return DUCKDB_TYPES[self.kind]


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    name: str
    description: str
    key: tuple[str, ...]
    """Columns that tell each row from the others: a row that is loaded again replaces itself."""
    day: str
    """The TIMESTAMP that the table is partitioned by, a day each."""
    clusters: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(one.name for one in self.columns)


def _key(name: str, kind: Kind, description: str) -> Column:
    return Column(name, kind, description, "REQUIRED")


CANDIDATES = Table(
    name="candidates",
    description="One row per candidate: what it was tuned on, how each stage ended, what it cost.",
    key=("candidate",),
    day="arrived_at",
    clusters=("dataset", "state"),
    columns=(
        _key("candidate", "STRING", "Candidate id"),
        _key("dataset", "STRING", "Entry of genops.yaml"),
        _key("arrived_at", "TIMESTAMP", "When Cloud Storage finalized the training file"),
        Column("object", "STRING", "gs:// address of the training file"),
        Column("generation", "INTEGER", "Of that object"),
        Column("size_bytes", "INTEGER", "Of that object"),
        Column("found_by", "STRING", "notification, or sweep where the notification was lost"),
        Column("state", "STRING", "under_way, answered, held, rejected or failed"),
        Column("reason", "STRING", "Of the verdict that was given last"),
        Column("updated_at", "TIMESTAMP", "When the last verdict was given; the arrival before"),
        Column("tuning", "STRING", "Outcome of the stage; NULL as long as it has none"),
        Column("evaluation", "STRING", "Outcome of the stage"),
        Column("budget", "STRING", "Outcome of the stage"),
        Column("promotion", "STRING", "Outcome of the stage"),
        Column("inference", "STRING", "Outcome of the stage"),
        Column("source_model", "STRING", "What was tuned"),
        Column("tuning_job", "STRING", "Resource name of the job"),
        Column("tuning_seconds", "FLOAT", "From the stage's begin to its end"),
        Column("model", "STRING", "Resource name of the tuned model"),
        Column("endpoint", "STRING", "What it is called by"),
        Column("examples", "INTEGER", "That it was tuned on"),
        Column("billable_tokens", "INTEGER", "Of tuning"),
        Column("evaluated", "INTEGER", "Rows that it was evaluated by"),
        Column("evaluation_blocked", "INTEGER", "Answers of the evaluation that were blocked"),
        Column("evaluation_cut", "INTEGER", "Answers of the evaluation that were cut"),
        Column("evaluation_empty", "INTEGER", "Answers of the evaluation without text"),
        Column("evaluation_failed", "INTEGER", "Rows of the evaluation without a score in some metric"),
        Column("metric", "STRING", "What decided about promotion"),
        Column("score", "FLOAT", "The candidate's, in that metric"),
        Column("champion_before", "STRING", "Candidate that was challenged"),
        Column("champion_score", "FLOAT", "Its score"),
        Column("promoted_at", "TIMESTAMP", "When it became champion; NULL where it did not"),
        Column("prompts", "INTEGER", "That it answered after its promotion"),
        Column("blocked", "INTEGER", "Of these answers"),
        Column("cut", "INTEGER", "Of these answers"),
        Column("empty", "INTEGER", "Of these answers"),
        Column("answers_uri", "STRING", "Where the answers are"),
        Column("evaluation_rows_uri", "STRING", "Where the scored rows are"),
        Column("report_uri", "STRING", "Where the report of the evaluation is"),
        Column("tuning_usd", "NUMERIC", "What the stage cost, by the price table; NULL if unknown"),
        Column("evaluation_usd", "NUMERIC", "What the stage cost; NULL if unknown"),
        Column("inference_usd", "NUMERIC", "What the stage cost; NULL if unknown"),
        Column("cost_usd", "NUMERIC", "What all stages cost together; the least, where cost_unknown names stages"),
        Column("cost_unknown", "STRING", "Stages whose cost is not known; NULL for none"),
    ),
)

EVALUATIONS = Table(
    name="evaluations",
    description="One row per evaluated prompt, metric and contestant.",
    key=("run", "contestant", "position", "metric"),
    day="evaluated_at",
    clusters=("dataset", "metric"),
    columns=(
        _key("run", "STRING", "Candidate whose evaluation it is, or the comparison"),
        _key("contestant", "STRING", "Who answered: the candidate, or a contestant of the comparison"),
        _key("position", "INTEGER", "Of the prompt in its file, from 1"),
        _key("metric", "STRING", "As genops.yaml names it"),
        _key("evaluated_at", "TIMESTAMP", "When the verdict was given"),
        _key("dataset", "STRING", "Entry of genops.yaml"),
        Column("source", "STRING", "evaluation or comparison"),
        Column("row_id", "STRING", "Of the prompt: its id, or its line"),
        Column("score", "FLOAT", "NULL where there is none, never 0"),
        Column("failure", "STRING", "Why there is no score"),
        Column("left_out", "STRING", "Why the prompt is in no score"),
        Column("champion_score", "FLOAT", "The champion's on the same prompt, by the same metric"),
        Column("explanation", "STRING", "The judge's words"),
        Column("prompt", "STRING", "What was asked"),
        Column("reference", "STRING", "What should be answered"),
        Column("answer", "STRING", "What was answered"),
        Column("state", "STRING", "complete, cut, blocked or empty: only a complete answer has scores"),
        Column("finish_reason", "STRING", "Why the answer ended"),
        Column("endpoint", "STRING", "What was asked"),
    ),
)

SPEND = Table(
    name="spend",
    description="One row per candidate and purpose: what was reserved and spent in a month, as the ledger says.",
    key=("month", "candidate", "purpose"),
    day="posted_at",
    clusters=("dataset", "purpose"),
    columns=(
        _key("month", "STRING", "Of the ledger, yyyy-mm (UTC)"),
        _key("candidate", "STRING", "A candidate, COMPARISON/CONTESTANT, or the run of an asking by hand"),
        _key("purpose", "STRING", "tuning, evaluation, inference, comparison or asking"),
        _key("dataset", "STRING", "Entry of genops.yaml"),
        _key("posted_at", "TIMESTAMP", "When it was reserved; the begin of the month where it never was"),
        Column("estimated_usd", "NUMERIC", "What was reserved"),
        Column("reserved_usd", "NUMERIC", "What is held back still"),
        Column("spent_usd", "NUMERIC", "What was spent"),
        Column("settled", "BOOLEAN", "Whether nothing more will be spent"),
        Column("approved_by", "STRING", "Who let it go over a limit"),
    ),
)

COMPLETIONS = Table(
    name="completions",
    description="One row per completion event.",
    key=("event_id",),
    day="happened_at",
    clusters=("type", "dataset"),
    columns=(
        _key("event_id", "STRING", "ce-id"),
        _key("type", "STRING", "ce-type, such as genops.promotion.promoted.v1"),
        _key("candidate", "STRING", "ce-subject: a candidate, or a comparison"),
        _key("happened_at", "TIMESTAMP", "ce-time"),
        Column("dataset", "STRING", "Entry of genops.yaml"),
        Column("stage", "STRING", "Whose verdict or hold it announces"),
        Column("outcome", "STRING", "Of that stage"),
        Column("reason", "STRING", "Why"),
        Column("cost_usd", "NUMERIC", "What the stage cost; NULL if unknown"),
        Column("source", "STRING", "ce-source"),
        Column("data", "STRING", "The event's data as JSON"),
    ),
)

TABLES: dict[str, Table] = {one.name: one for one in (CANDIDATES, EVALUATIONS, SPEND, COMPLETIONS)}


def fingerprint() -> str:
    """Return what changes with any column of any table."""
    columns = [(table.name, one.name, one.kind) for table in TABLES.values() for one in table.columns]
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:16]


def differences(table: Table, found: dict[str, tuple[str, str]]) -> tuple[list[Column], list[str]]:
    """Compare a table in BigQuery with what it has to be.

    Args:
        table: what it has to be.
        found: type and mode of each column that is there, by name.

    Returns:
        Columns that are missing, and in words what cannot be used as it is.
    """
    missing = [one for one in table.columns if one.name not in found]
    wrong = [
        f"column {one.name} is {found[one.name][0]}, not {one.kind}"
        for one in table.columns
        if one.name in found and found[one.name][0] != one.kind
    ]
    wrong += [
        f"column {one.name} is REPEATED" for one in table.columns if found.get(one.name, ("", ""))[1] == "REPEATED"
    ]
    known = set(table.names)
    wrong += [
        f"column {name} is REQUIRED, and nothing of ours"
        for name, (_, mode) in found.items()
        if mode == "REQUIRED" and name not in known
    ]
    return missing, wrong


def merge_sql(table: Table, *, target: str, staging: str) -> str:
    """Return the MERGE that brings staged rows into their table: a row that is there is replaced, never doubled.

    Args:
        table: which one.
        target: what it is called, `project.dataset.table`.
        staging: where the rows are, likewise.
    """
    key = ", ".join(table.key)
    same = " AND ".join(f"T.{name} = S.{name}" for name in table.key)
    changed = ", ".join(f"{name} = S.{name}" for name in table.names if name not in table.key)
    values = ", ".join(f"S.{name}" for name in table.names)
    # One row for each key, or the MERGE would fail for good.
    once = f"SELECT * FROM `{staging}` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {key}) = 1"  # noqa: S608
    clauses = (
        f"MERGE `{target}` AS T USING ({once}) AS S ON {same}",
        f"WHEN MATCHED THEN UPDATE SET {changed}",
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(table.names)})",
        f"VALUES ({values})",
    )
    return " ".join(clauses)
