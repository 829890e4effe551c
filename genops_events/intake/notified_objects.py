"""Read time and size of notified objects from Cloud Storage itself, and not from the message."""

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
    """An object of a notification, and the dataset that it is an arrival of."""

    notice: Notice
    dataset: str


def arrivals_of(store: RecordStore, notified: Iterable[NotifiedObject]) -> list[Arrival]:
    """Return the arrivals, with the objects' own times and sizes; one call for each object, several at a time.

    An object that does not exist (any more) is an arrival, too, with the present time: its candidate is rejected, with the
    reason.

    Raises:
        CloudUnavailable: Cloud Storage does not answer.
        CloudRefused: the objects may not be read.
    """
    return at_once(lambda one: _arrival(store, one), notified)


def _arrival(store: RecordStore, notified: NotifiedObject) -> Arrival:
    from google.api_core.exceptions import BadRequest, NotFound

    notice, now = notified.notice, datetime.now(UTC)
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
    return arrival(notice, dataset=notified.dataset, found_by="notification", now=now, created_at=created_at)
