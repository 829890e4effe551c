"""Keep a marker in the bucket for every candidate that is not settled: the sweep looks at these, and at no others.

The marker is a copy of the arrival. It is written *before* the arrival and deleted only by a sweep that found the candidate
settled, so nothing is left to do for a candidate without a marker. What a crash leaves behind, step by step ("patience" is
`intake.patience_minutes`):

| died after | in the bucket | what continues |
|---|---|---|
| nothing yet | the object alone | the retry of the task; else the sweep that lists the watched prefix |
| the marker | marker | the same; else the sweep writes the arrival from the marker and wakes it |
| the arrival | marker, arrival | the retry wakes it; else the sweep, which finds that no Dag run took it on |
| the wake-up was stored | and an asset event | Airflow; if it drops the event, the sweep |
| any step of a stage | and intents, verdicts, events | Airflow's retry; else the sweep closes, announces or wakes |
| a sweep recorded a wake-up on the marker | marker updated, nothing emitted | a sweep after another patience |
| the last verdict was announced | all of it | the sweep deletes the marker once nothing has changed for patience |
| the marker was deleted | the settled candidate | nothing: the candidate is done |
| a late duplicate of the notification | a marker again | the next sweep deletes it |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.outbox import PUBLISHED
from genops_events.intake.traces import Traces
from genops_events.record import paths as record_paths
from genops_events.record.events import event_of_publication
from genops_events.record.intake import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.cloud.storage import Blob

    from genops_events.gcp.record_store import RecordStore

_MARKER_FIELDS = "items(name,generation,metageneration,updated,metadata),nextPageToken"
_WOKEN = "woken"
_RELEASED = "released"
_MOST_DIGITS = 10
_TRACE_FIELDS = "items(name,updated,metadata),nextPageToken"


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker of one open candidate, as a listing shows it."""

    candidate: str
    generation: int
    metageneration: int
    touched_at: datetime
    """When it was written, or when a sweep last woke the candidate."""
    wakings: int
    """How often sweeps woke the candidate."""
    released: bool = False
    """Whether a person has approved a held stage, and no sweep has woken the candidate since."""


def mint(store: RecordStore, arrivals: Iterable[Arrival]) -> set[str]:
    """Record each arrival that is not recorded yet; return the candidates that this call has recorded.

    If several tasks do so at once, each candidate is returned to one of them only, which wakes it.
    """

    def record_one(arrival: Arrival) -> str | None:
        store.create(record_paths.open_path(arrival.candidate), arrival)
        path = record_paths.arrival_path(arrival.candidate)
        # If the answer to the first write was lost, the client's own retry fails: the object exists, and is this one.
        return arrival.candidate if store.create(path, arrival) or store.read(path, Arrival) == arrival else None

    return {candidate for candidate in at_once(record_one, arrivals) if candidate is not None}


def open_candidates(store: RecordStore) -> list[Marker]:
    """Return the markers of all candidates that are not settled."""
    with google_call(f"list gs://{store.bucket.name}/{record_paths.OPEN}"):
        return [
            Marker(
                candidate=blob.name.removeprefix(record_paths.OPEN).removesuffix(".json"),
                generation=blob.generation,
                metageneration=blob.metageneration,
                touched_at=blob.updated,
                wakings=_count((blob.metadata or {}).get(_WOKEN)),
                released=_RELEASED in (blob.metadata or {}),
            )
            for blob in store.bucket.list_blobs(
                prefix=record_paths.OPEN, fields=_MARKER_FIELDS, timeout=CALL_TIMEOUT_SECONDS
            )
            if blob.name.endswith(".json")
        ]


def _count(text: str | None) -> int:
    """Return the number that a sweep has written; 0 for anything else, since others may change the metadata."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else 0


def traces_of(store: RecordStore, candidate: str) -> Traces:
    """Return the traces of one candidate, by one listing of its folder; no document is read."""
    found = Traces(candidate)
    prefix = record_paths.folder(candidate)
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        for blob in store.bucket.list_blobs(prefix=prefix, fields=_TRACE_FIELDS, timeout=CALL_TIMEOUT_SECONDS):
            published = (blob.metadata or {}).items() >= PUBLISHED.items()
            found.add(blob.name, written_at=blob.updated, published=published)
            if (event := event_of_publication(blob.name)) is not None:
                found.published.add(event)
    return found


def claim_waking(store: RecordStore, marker: Marker) -> bool:
    """Record on the marker that the candidate is woken now; return whether this call has recorded it.

    Of several sweeps at once, only one does, and none wakes the candidate again within `intake.patience_minutes`.
    """
    blob = store.bucket.blob(record_paths.open_path(marker.candidate))
    blob.metadata = {_WOKEN: str(marker.wakings + 1), _RELEASED: None}  # None removes it
    return _done("update", blob, blob.patch, _as_listed(marker))


def note_release(store: RecordStore, candidate: str) -> bool:
    """Record on the marker that a held stage was approved, so that the next sweep wakes the candidate at once.

    A crash before this is safe: a sweep finds an approval without this note after `intake.patience_minutes`.

    Returns:
        False where the candidate has no marker, since it has ended.
    """
    blob = store.bucket.blob(record_paths.open_path(candidate))
    blob.metadata = {_WOKEN: "0", _RELEASED: "true"}
    return _done("update", blob, blob.patch, {})


def settle(store: RecordStore, marker: Marker, *, parts: Iterable[str] = ()) -> None:
    """Delete the marker of a settled candidate; one that has changed since the listing is left to the next sweep.

    Args:
        store: the record.
        marker: as it was listed.
        parts: what its work has left over, and nobody needs any more; it is deleted first.
    """
    for name in parts:
        _done("delete", left_over := store.bucket.blob(name), left_over.delete, {})
    blob = store.bucket.blob(record_paths.open_path(marker.candidate))
    _done("delete", blob, blob.delete, _as_listed(marker))


def _as_listed(marker: Marker) -> dict[str, int]:
    """Return the preconditions by which a marker is unchanged since the listing."""
    return {"if_generation_match": marker.generation, "if_metageneration_match": marker.metageneration}


def _done(verb: str, blob: Blob, call: Callable[..., object], conditions: Mapping[str, int]) -> bool:
    """Make the call and return True; False where the marker does not exist, or the conditions are not met."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with google_call(f"{verb} gs://{blob.bucket.name}/{blob.name}"):
        try:
            call(**conditions, timeout=CALL_TIMEOUT_SECONDS)
        except (NotFound, PreconditionFailed):
            return False
    return True
