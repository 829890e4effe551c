"""Write the parts of the tables into the bucket, from whatever of the record is not in them yet.

What a crash leaves behind, step by step:

| died after | what is there | who goes on |
|---|---|---|
| a verdict's event was written | event, not published | the retry or the sweep, which mark the candidate as due |
| the candidate was marked | mark | the next run |
| some of its parts were written | mark, parts | the next run writes all of them again |
| the parts were marked for BigQuery | mark, parts, pending | the same; a part that is loaded twice is in the table once |
| the mark was deleted | parts, pending | nothing is left to do; BigQuery is loaded from what is pending |
| a ledger's part was written | part, an older generation in the state | the next run writes it again |
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genops_events.cascade.candidate_reader import read_candidate
from genops_events.errors import PermanentError, TransientError
from genops_events.evaluation.files import read_rows
from genops_events.gcp import ledger_store
from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.table_marks import DueCandidate, due_candidates, note_due, remove
from genops_events.reading.object_names import ROOT
from genops_events.record.evaluation import rows_path
from genops_events.record.paths import CANDIDATES as CANDIDATES_FOLDER
from genops_events.record.paths import OPEN, month_of_ledger
from genops_events.record.stages import Stage
from genops_events.record.tables import (
    Pending,
    TablesState,
    candidate_part,
    ledger_part,
    pending_path,
    state_path,
)
from genops_events.tables.fitting import fitting
from genops_events.tables.rows import candidate_row, completion_rows, evaluation_table_rows, json_lines, spend_rows
from genops_events.tables.schema import CANDIDATES, COMPLETIONS, EVALUATIONS, SPEND, Table, fingerprint

if TYPE_CHECKING:
    import duckdb

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

MOST_CANDIDATES = 1_000
"""Candidates of one run; the next goes on with the others."""


@dataclass(slots=True)
class WrittenParts:
    """What one run wrote into the bucket."""

    candidates: int = 0
    ledgers: int = 0
    rows: int = 0
    more: bool = False
    """There is more than one run takes."""
    left_out: int = 0
    """Rows that the tables cannot hold."""
    problems: list[str] = field(default_factory=list)
    """What could not be read or held, a sentence each; the rest was written, and this stays marked."""


def write_parts(config: Config, store: RecordStore) -> WrittenParts:
    """Write the rows of all candidates and ledgers that have changed since they were written last.

    Any number of these may run at once. Dying anywhere and calling it again gives the same parts.

    Raises:
        CloudUnavailable: Cloud Storage does not answer; what is not written stays marked.
    """
    state = store.read(state_path(), TablesState)
    if state is None or state.columns != fingerprint():
        _mark_all(store)
        state = TablesState()
    _mark_new(store, state)
    due = due_candidates(store, most=MOST_CANDIDATES + 1)
    written = WrittenParts(more=sum(len(one.marks) for one in due) > MOST_CANDIDATES)
    writer = _Writer(config, store, written)
    for rows in at_once(lambda one: _tolerant(writer.candidate, one, written), due[:MOST_CANDIDATES]):
        written.candidates += rows is not None
        written.rows += rows or 0
    for month, generation in sorted(_ledgers(store).items()):
        if state.ledgers.get(month) == generation:
            continue
        rows = _tolerant(writer.ledger, month, written)
        if rows is not None:
            written.ledgers += 1
            written.rows += rows
            _note_ledger(store, month, generation, before=state.ledgers.get(month))
    return written


def write_part(
    config: Config, store: RecordStore, table: Table, part: str, rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Write one part of a table as JSON Lines and as Parquet, and mark it for BigQuery, if that is wanted.

    A row that the table cannot hold is left out; return a sentence for each of them.

    Args:
        config: says whether it is.
        store: the record, whose bucket takes it.
        table: which one.
        part: its name without an ending: from `tables.paths`.
        rows: all that the part is to hold.
    """
    found = fitting(table, rows)
    for problem in found.problems:
        log.warning("%s", problem)
    lines = json_lines(table, found.rows)
    _upload(store, f"{part}.jsonl", lines, "application/jsonl")
    _upload(store, f"{part}.parquet", parquet(table, lines), "application/vnd.apache.parquet")
    if (dataset := config.tables.dataset) is not None:
        store.put(pending_path(dataset, table.name, part), Pending(part=f"{part}.parquet"))
    return found.problems


def parquet(table: Table, lines: bytes) -> bytes:
    """Return JSON Lines as Parquet with the table's types."""
    columns = ", ".join(f"'{one.name}': '{one.duckdb}'" for one in table.columns)
    longest = max((len(line) for line in lines.split(b"\n")), default=0)
    with tempfile.TemporaryDirectory(prefix="genops-tables-") as folder:
        source, target = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        source.write_bytes(lines)
        with _duckdb().cursor() as cursor:
            cursor.execute(
                f"COPY (SELECT * FROM read_json('{source}', format = 'newline_delimited', columns = {{{columns}}}, "  # noqa: S608
                f"maximum_object_size = {max(longest + 1, 65_536)})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
            )
        return target.read_bytes()


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """Return DuckDB without a file: opening it anew for each part would cost more than writing the part."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


class _Writer:
    """Writes parts; each call may be made in a thread of its own."""

    def __init__(self, config: Config, store: RecordStore, written: WrittenParts) -> None:
        self._config = config
        self._store = store
        self._written = written

    def candidate(self, due: DueCandidate) -> int | None:
        """Write the parts of one candidate; return how many rows they have, None where its arrival is not recorded yet.

        Where a row was left out, the candidate stays marked: once the value is mended, its row is written.
        """
        store = self._store
        candidate = read_candidate(store, due.name)
        if candidate is None:
            return None
        events = [event for _, event in store.announcements(due.name, skip=set())]
        evaluated = Stage.EVALUATION in candidate.verdicts
        scored = read_rows(store.bucket, rows_path(due.name)) if evaluated else []
        parts: dict[str, tuple[Table, list[dict[str, Any]]]] = {
            CANDIDATES.name: (CANDIDATES, [candidate_row(candidate)]),
            EVALUATIONS.name: (EVALUATIONS, evaluation_table_rows(candidate, scored)),
            COMPLETIONS.name: (COMPLETIONS, completion_rows(events)),
        }
        count = 0
        problems: list[str] = []
        for name, (table, rows) in parts.items():
            if rows:
                part = candidate_part(name, due.name, candidate.arrival.arrived_at)
                left_out = write_part(self._config, store, table, part, rows)
                count += len(rows) - len(left_out)
                problems += left_out
        if problems:
            self._written.left_out += len(problems)
            self._written.problems += problems
        else:
            removed = [remove(store, mark) for mark in due.marks]
            if not all(removed):
                note_due(store, due.name)
        return count

    def ledger(self, month: str) -> int | None:
        """Write a month's part of the table `spend`; return how many rows it has."""
        rows = spend_rows(month, ledger_store.all_accounts(self._store, month))
        left_out = write_part(self._config, self._store, SPEND, ledger_part(month), rows)
        self._written.left_out += len(left_out)
        self._written.problems += left_out
        return len(rows) - len(left_out)


def _tolerant(write: Callable[[Any], int | None], about: Any, written: WrittenParts) -> int | None:
    """Return what `write` returns; None where a document cannot be read, which must not keep the others out.

    Whatever the error is: others may write into the bucket that holds the record, and what they have written is as
    likely to be of another type or out of bounds as to be no JSON.
    """
    try:
        return write(about)
    except TransientError:
        raise
    except Exception as error:
        name = about.name if isinstance(about, DueCandidate) else f"the ledger of {about}"
        log.exception("The parts of %r cannot be written; it stays marked", name)
        told = str(error) if isinstance(error, PermanentError) else f"{type(error).__name__}: {error}"
        written.problems.append(f"{ascii(name)[1:-1]} is left out of the tables: {told}")
        return None


def _mark_all(store: RecordStore) -> None:
    """Mark all candidates that there ever were: nothing was written yet."""
    with google_call(f"list gs://{store.bucket.name}/{CANDIDATES_FOLDER}"):
        listing = store.bucket.list_blobs(prefix=CANDIDATES_FOLDER, delimiter="/", timeout=CALL_TIMEOUT_SECONDS)
        for _ in listing:
            pass
        folders = sorted(listing.prefixes)
    at_once(lambda one: note_due(store, one.removeprefix(CANDIDATES_FOLDER).rstrip("/")), folders)


def _mark_new(store: RecordStore, state: TablesState) -> None:
    """Mark the candidates that are new, so that they are in the tables before their first verdict."""
    open_now = {name.rpartition("/")[2].removesuffix(".json") for name in store.names(OPEN)}
    new = open_now - set(state.open)
    at_once(lambda candidate: note_due(store, candidate), sorted(new))
    columns = fingerprint()
    if state.columns != columns or open_now != set(state.open):
        after = tuple(sorted(open_now))

        def change(found: TablesState | None) -> TablesState:
            if found is None or found.columns != columns:
                return TablesState(columns=columns, open=after)
            return found.model_copy(update={"open": after})

        store.update(state_path(), TablesState, change)


def _ledgers(store: RecordStore) -> dict[str, int]:
    """Return a number of each month's ledger that is another after each change: its objects' generations, added up."""
    found: Counter[str] = Counter()
    for name, generation in store.generations(f"{ROOT}ledger/", delimiter="/").items():
        if (month := month_of_ledger(name)) is not None:
            found[month] += generation
    return dict(found)


def _note_ledger(store: RecordStore, month: str, generation: int, *, before: int | None) -> None:
    def change(found: TablesState | None) -> TablesState:
        found = found or TablesState()
        ledgers = dict(found.ledgers)
        if ledgers.get(month) == before:
            ledgers[month] = generation
        else:
            # Somebody else wrote this part at the same time; which one came last is not known.
            ledgers.pop(month, None)
        return found.model_copy(update={"ledgers": ledgers})

    store.update(state_path(), TablesState, change)


def _upload(store: RecordStore, name: str, content: bytes, kind: str) -> None:
    with google_call(f"write gs://{store.bucket.name}/{name}"):
        store.bucket.blob(name).upload_from_string(content, content_type=kind, timeout=CALL_TIMEOUT_SECONDS)
