"""Keep a marker in the bucket for every candidate that is not settled: the sweep looks at these, and at no others.

The marker is a copy of the arrival. It is written *before* the arrival and deleted only by a sweep that found the candidate
settled, so a candidate without a marker needs nothing any more. What a crash leaves behind, step by step:

| died after | what is there | who goes on |
|---|---|---|
| nothing yet | the object alone | the retry of the task; else the sweep that lists the watched prefix |
| the marker | marker | the same; else the sweep writes the arrival from the marker and wakes it |
| the arrival | marker, arrival | the retry wakes it; else the sweep, which finds that no Dag run took it on |
| the wake-up was stored | and an asset event | Airflow; if it drops the event, the sweep |
| any step of a stage | and intents, verdicts, events | Airflow's retry; else the sweep closes, announces or wakes |
| a sweep noted a wake-up on the marker | marker touched, nothing emitted | a sweep after another patience |
| the last verdict was announced | all of it | the sweep deletes the marker once nothing has moved for patience |
| the marker was deleted | the settled candidate | nothing is left to do |
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
    """A person let a held stage go on, and no sweep has woken the candidate since."""


def mint(store: RecordStore, arrivals: Iterable[Arrival]) -> set[str]:
    """Record each arrival that is not recorded yet; return the candidates that this call recorded.

    However many tasks do so at once, each candidate is returned to one of them: that one wakes it.
    """

    def record_one(arrival: Arrival) -> str | None:
        store.create(record_paths.open_path(arrival.candidate), arrival)
        path = record_paths.arrival_path(arrival.candidate)
        # Where the first answer was lost, the client's own retry is told that there is one: ours.
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
    """Return a number that a sweep noted; 0 for what is none, since it may be anybody's."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else 0


def traces_of(store: RecordStore, candidate: str) -> Traces:
    """Return the traces of one candidate: one listing of its folder, no document is read."""
    found = Traces(candidate)
    prefix = record_paths.folder(candidate)
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        for blob in store.bucket.list_blobs(prefix=prefix, fields=_TRACE_FIELDS, timeout=CALL_TIMEOUT_SECONDS):
            published = (blob.metadata or {}).items() >= PUBLISHED.items()
            found.add(blob.name, written_at=blob.updated, published=published)
    return found


def claim_waking(store: RecordStore, marker: Marker) -> bool:
    """Note on the marker that the candidate is woken now; return whether this call noted it.

    Of several sweeps at once one gets it, and for another patience none wakes the candidate again.
    """
    blob = store.bucket.blob(record_paths.open_path(marker.candidate))
    blob.metadata = {_WOKEN: str(marker.wakings + 1), _RELEASED: None}  # None removes it
    return _done("update", blob, blob.patch, _as_listed(marker))


def note_release(store: RecordStore, candidate: str) -> bool:
    """Note on the marker that a held stage was approved, so that the next sweep wakes the candidate without patience.

    Dying before it is safe: an approval without this note is found by a sweep all the same, once patience is over.

    Returns:
        False where the candidate has no marker: it has ended.
    """
    blob = store.bucket.blob(record_paths.open_path(candidate))
    blob.metadata = {_WOKEN: "0", _RELEASED: "true"}
    return _done("update", blob, blob.patch, {})


def settle(store: RecordStore, marker: Marker) -> None:
    """Delete the marker of a settled candidate, as it was listed: one that changed since is left to the next sweep."""
    blob = store.bucket.blob(record_paths.open_path(marker.candidate))
    _done("delete", blob, blob.delete, _as_listed(marker))


def _as_listed(marker: Marker) -> dict[str, int]:
    """Return the conditions under which a marker is still what it was when it was listed."""
    return {"if_generation_match": marker.generation, "if_metageneration_match": marker.metageneration}


def _done(verb: str, blob: Blob, call: Callable[..., object], conditions: Mapping[str, int]) -> bool:
    """Make the call and return whether it was done: False where the marker is gone, or is not as `conditions` say."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with google_call(f"{verb} gs://{blob.bucket.name}/{blob.name}"):
        try:
            call(**conditions, timeout=CALL_TIMEOUT_SECONDS)
        except (NotFound, PreconditionFailed):
            return False
    return True
