"""Show which candidates wait for a tuning job's place, and in which order. Airflow's pool keeps the places; this only shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.record import paths as record_paths
from genops_events.record.tuning import Queued

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore


def enter(store: RecordStore, candidate: str, *, since: datetime) -> None:
    """Mark that `candidate` waits, in the order of `since`; repeating it changes nothing."""
    store.create(record_paths.queued_path(candidate, since), Queued(candidate=candidate, written_at=datetime.now(UTC)))


def leave(store: RecordStore, candidate: str, *, since: datetime | None = None) -> None:
    """Remove the mark of `candidate`, if there is one.

    Args:
        store: the record.
        candidate: has a place now, or needs none any more.
        since: as given to `enter`; None to look for the mark.
    """
    from google.api_core.exceptions import NotFound

    if since is not None:
        names = [record_paths.queued_path(candidate, since)]
    else:
        names = [name for name in store.names(record_paths.QUEUE) if _is_of(name, candidate)]
    for name in names:
        with google_call(f"delete gs://{store.bucket.name}/{name}"):
            try:
                store.bucket.blob(name).delete(timeout=CALL_TIMEOUT_SECONDS)
            except NotFound:
                continue


def waiting(store: RecordStore) -> list[str]:
    """Return the candidates that wait for a place, the next one first."""
    return [
        name.removeprefix(record_paths.QUEUE).partition("-")[2].removesuffix(".json")
        for name in store.names(record_paths.QUEUE)
    ]


def _is_of(name: str, candidate: str) -> bool:
    return name.removeprefix(record_paths.QUEUE).partition("-")[2] == f"{candidate}.json"
