"""Marks of what is still to be done: small objects that are written before, and deleted after it as they were listed.

A writer that finds its mark deleted by another one in the meantime writes it again: what the other one wrote may be
older than what is there now. So two at once cost a repetition, and never leave anything out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.record.tables import Due, due_path

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


def note_due(store: RecordStore, candidate: str) -> None:
    """Mark that the candidate's parts are to be written anew: after its record has changed, before that is announced."""
    store.put(due_path(candidate), Due(candidate=candidate, written_at=datetime.now(UTC)))


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
