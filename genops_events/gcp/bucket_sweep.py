"""Find in the bucket what no event has told: objects without a candidate, and stages that never began."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from genops_events import record
from genops_events.arrivals import Notice
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.identity import candidate_id
from genops_events.stages import CandidateState, Stage, ready_stages

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

PATIENCE = timedelta(minutes=5)
"""An event that is this late is taken for lost. A wrong guess costs a run that finds the work done."""

_LAST_EVENTS = (".rejected.v1.json", ".held.v1.json", ".failed.v1.json", "genops.inference.completed.v1.json")


def objects_without_candidate(config: Config, store: RecordStore, *, now: datetime) -> Iterator[Notice]:
    """Yield every object under a watched prefix that is older than `PATIENCE` and has no candidate."""
    for name, dataset in config.datasets.items():
        with google_call(f"list gs://{config.bucket}/{dataset.prefix}"):
            blobs = list(store.bucket.list_blobs(prefix=dataset.prefix, timeout=CALL_TIMEOUT_SECONDS))
        for blob in blobs:
            if config.dataset_for(blob.name) is None or now - blob.time_created < PATIENCE:
                continue
            candidate = candidate_id(name, config.bucket, blob.name, blob.generation)
            if store.read(record.arrival_path(candidate), record.Arrival) is None:
                yield Notice(
                    bucket=config.bucket,
                    object=blob.name,
                    generation=blob.generation,
                    size_bytes=blob.size,
                    finalized_at=blob.time_created,
                )


def stalled_candidates(store: RecordStore, *, now: datetime) -> Iterator[tuple[str, Stage]]:
    """Yield candidate and stage wherever a stage could begin, nobody has taken it on, and nothing moved lately."""
    names: dict[str, list[str]] = defaultdict(list)
    touched: dict[str, datetime] = {}
    with google_call(f"list gs://{store.bucket.name}/{record.CANDIDATES}"):
        for blob in store.bucket.list_blobs(prefix=record.CANDIDATES, timeout=CALL_TIMEOUT_SECONDS):
            candidate = blob.name.removeprefix(record.CANDIDATES).split("/", 1)[0]
            names[candidate].append(blob.name)
            touched[candidate] = max(touched.get(candidate, blob.updated), blob.updated)
    for candidate, documents in names.items():
        ended = any(document.endswith(_LAST_EVENTS) for document in documents)
        if ended or now - touched[candidate] < PATIENCE:
            continue
        found = store.candidate(candidate)
        if found is None or found.state is not CandidateState.UNDER_WAY:
            continue
        for stage in ready_stages(found.outcomes):
            if stage not in found.intents:
                yield candidate, stage
