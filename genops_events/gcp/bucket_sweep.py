"""List the bucket for what no event has told: objects without a candidate, and traces of what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from genops_events import record
from genops_events.arrivals import Notice
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.outbox import PUBLISHED
from genops_events.identity import candidate_id
from genops_events.stages import PATIENCE
from genops_events.sweep import Traces

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

_FIELDS = "items(name,generation,size,timeCreated,updated,metadata),nextPageToken"


def survey(store: RecordStore) -> dict[str, Traces]:
    """Return the traces of every candidate in the record, by candidate; reads no document."""
    found: dict[str, Traces] = {}
    with google_call(f"list gs://{store.bucket.name}/{record.CANDIDATES}"):
        for blob in store.bucket.list_blobs(prefix=record.CANDIDATES, fields=_FIELDS, timeout=CALL_TIMEOUT_SECONDS):
            candidate = blob.name.removeprefix(record.CANDIDATES).split("/", 1)[0]
            published = (blob.metadata or {}).items() >= PUBLISHED.items()
            traces = found.setdefault(candidate, Traces(candidate))
            traces.add(blob.name, written_at=blob.updated, published=published)
    return found


def objects_without_candidate(
    config: Config, store: RecordStore, known: dict[str, Traces], *, now: datetime
) -> Iterator[Notice]:
    """Yield every object under a watched prefix that is older than `PATIENCE` and has no candidate in `known`."""
    for name, dataset in config.datasets.items():
        with google_call(f"list gs://{config.bucket}/{dataset.prefix}"):
            blobs = list(store.bucket.list_blobs(prefix=dataset.prefix, fields=_FIELDS, timeout=CALL_TIMEOUT_SECONDS))
        for blob in blobs:
            if config.dataset_for(blob.name) is None or now - blob.time_created < PATIENCE:
                continue
            candidate = candidate_id(name, config.bucket, blob.name, blob.generation)
            if candidate not in known or record.arrival_path(candidate) not in known[candidate].names:
                yield Notice(
                    bucket=config.bucket,
                    object=blob.name,
                    generation=blob.generation,
                    size_bytes=blob.size,
                    finalized_at=blob.time_created,
                )
