"""Marks of what is still to be done: small objects that are written before, and deleted after it as they were listed.

A writer that finds its mark deleted by another one in the meantime writes it again: what the other one wrote may be
older than what is there now. So two at once cost a repetition, and never leave anything out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from secrets import token_hex
from typing import TYPE_CHECKING

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.record.tables import DUE, Due, due_beside_path, due_path

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark, as a listing shows it."""

    path: str
    generation: int

    @property
    def name(self) -> str:
        """Return what it is about: the last part of its path, without `.json`."""
        return self.path.rpartition("/")[2].removesuffix(".json")


@dataclass(frozen=True, slots=True)
class DueCandidate:
    """A candidate whose parts are to be written anew, and all marks that say so."""

    name: str
    marks: tuple[Mark, ...]


def note_due(store: RecordStore, candidate: str) -> None:
    """Mark that the candidate's parts are to be written anew: after its record has changed, before that is announced.

    A mark that was written or removed within the last second cannot be written again: then there is another one beside it.
    """
    content = Due(candidate=candidate, written_at=datetime.now(UTC)).to_json()

    def write(path: str, **retry: None) -> None:
        with google_call(f"write gs://{store.bucket.name}/{path}"):
            store.bucket.blob(path).upload_from_string(
                content, content_type="application/json", timeout=CALL_TIMEOUT_SECONDS, **retry
            )

    try:
        write(due_path(candidate), retry=None)
    except CloudUnavailable:
        write(due_beside_path(candidate, token_hex(4)))


def due_candidates(store: RecordStore, *, most: int) -> list[DueCandidate]:
    """Return candidates whose parts are to be written anew, by the first marks that there are."""
    found: dict[str, list[Mark]] = {}
    for mark in listed(store, DUE, most=most):
        found.setdefault(mark.name.partition(".")[0], []).append(mark)
    return [DueCandidate(name, tuple(marks)) for name, marks in found.items()]


def listed(store: RecordStore, prefix: str, *, most: int) -> list[Mark]:
    """Return the first marks below `prefix`."""
    return list(islice(_marks(store, prefix), most))


def _marks(store: RecordStore, prefix: str) -> Iterator[Mark]:
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        for blob in store.bucket.list_blobs(
            prefix=prefix, fields="items(name,generation),nextPageToken", timeout=CALL_TIMEOUT_SECONDS
        ):
            yield Mark(blob.name, int(blob.generation))


def remove(store: RecordStore, mark: Mark) -> bool:
    """Delete a mark as it was listed; return False where it was not there any more.

    One that was written anew since stays, and what it is about is done once more.
    """
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with google_call(f"delete gs://{store.bucket.name}/{mark.path}"):
        try:
            store.bucket.blob(mark.path).delete(if_generation_match=mark.generation, timeout=CALL_TIMEOUT_SECONDS)
        except NotFound:
            return False
        except PreconditionFailed:
            return True
    return True
