"""Ask Cloud Storage about the objects that notifications tell of: their time and size are what it says, not the message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.intake.notifications import Notice, arrival
from genops_events.reading.storable import MOST_INTEGER

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.intake import Arrival


@dataclass(frozen=True, slots=True)
class NotifiedObject:
    """An object that a notification tells of, and the dataset that it is an arrival of."""

    notice: Notice
    dataset: str


def arrivals_of(store: RecordStore, told: Iterable[NotifiedObject]) -> list[Arrival]:
    """Return what has arrived, with the objects' own times and sizes: one call for each, several at a time.

    An object that is gone, or never was, is an arrival all the same: its candidate ends as rejected, with the reason.
    It has the time at which it was looked for.

    Raises:
        CloudUnavailable: Cloud Storage does not answer.
        CloudRefused: the objects may not be looked at.
    """
    return at_once(lambda one: _arrival(store, one), told)


def _arrival(store: RecordStore, told: NotifiedObject) -> Arrival:
    from google.api_core.exceptions import BadRequest, NotFound

    notice, now = told.notice, datetime.now(UTC)
    blob = store.bucket.blob(notice.object, generation=notice.generation)
    created_at: datetime | None = None
    with google_call(f"look for gs://{store.bucket.name}/{notice.object}"):
        try:
            blob.reload(projection="noAcl", timeout=CALL_TIMEOUT_SECONDS)
        except (NotFound, BadRequest):
            pass
        else:
            created_at = blob.time_created
            size = blob.size
            is_size = size is not None and 0 <= size <= MOST_INTEGER
            notice = notice.model_copy(update={"size_bytes": size if is_size else None})
    return arrival(notice, dataset=told.dataset, found_by="notification", now=now, created_at=created_at)
