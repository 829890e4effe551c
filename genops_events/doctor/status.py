"""Collect what a status report says: out of the tables, the record and the dead letters, and keep it in the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genops_events.cascade.candidate_reader import CandidateReader
from genops_events.doctor.status_report import Period, Section, Waiting, report, waiting_of
from genops_events.errors import PermanentError
from genops_events.gcp.at_once import at_once, widen
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.dead_letters import NoDeadLetterSubscription, count_dead_letters
from genops_events.intake.open_candidates import open_candidates
from genops_events.record import paths as record_paths
from genops_events.record.promotion import question_path

if TYPE_CHECKING:
    from genops_events.config import Config

_ROUNDS = 20
"""As many as `genops_tables` makes in one run."""


def status_report(config: Config, period: Period, queries: Mapping[str, str]) -> str:
    """Return the report of a period.

    Args:
        config: the configuration.
        period: `$since` and `$until` in the queries.
        queries: in DuckDB's SQL over the tables of `genops sql`, by title.

    Raises:
        SqlProblem: a query is wrong.
        CloudUnavailable, CloudRefused: the bucket or Pub/Sub cannot be asked.
    """
    from genops_events.tables.parts import write_parts
    from genops_events.tables.query import query

    store = RecordStore.open(config)
    widen(store.bucket.client)
    for _ in range(_ROUNDS):  # so that what has ended a minute ago is part of it
        written = write_parts(config, store)
        if not written.more:
            break
    sections = (
        [Section("Cannot be read", ("problem",), [(one,) for one in written.problems])] if written.problems else []
    )
    for title, sql in queries.items():
        found = query(store, period.in_sql(sql), cache=None)
        sections.append(Section(title, found.columns, found.rows))
    return report(period, sections, waiting(store), _dead_letters(config))


def waiting(store: RecordStore) -> list[Waiting]:
    """Return what waits for a person: of all candidates that are not settled, those that were held or asked about."""

    def look(candidate: str) -> list[Waiting]:
        holds, question = record_paths.holds_folder(candidate), question_path(candidate)
        if not any(name == question or name.startswith(holds) for name in store.names(record_paths.folder(candidate))):
            return []
        try:
            found = CandidateReader(store).look(candidate)
        except PermanentError as error:
            return [Waiting(candidate, f"cannot be read: {error.message}", f"genops watch {candidate}")]
        return [] if found is None else list(waiting_of(found))

    ids = sorted(marker.candidate for marker in open_candidates(store))
    return [one for some in at_once(look, ids) for one in some]


def keep_report(config: Config, period: Period, text: str) -> str:
    """Write the report into the bucket, over one of the same period; return its address."""
    blob = RecordStore.open(config).bucket.blob(period.path)
    with google_call(f"write gs://{config.bucket}/{period.path}"):
        blob.upload_from_string(text, content_type="text/markdown; charset=utf-8", timeout=CALL_TIMEOUT_SECONDS)
    return config.uri(period.path)


def _dead_letters(config: Config) -> int | None:
    try:
        return count_dead_letters(config)
    except NoDeadLetterSubscription:
        return None
