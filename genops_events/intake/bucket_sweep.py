"""List the watched prefixes for objects that never became a candidate, starting where the last sweep stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.intake.admission import Admitted, admission
from genops_events.intake.notifications import Notice, arrival
from genops_events.record import paths as record_paths

if TYPE_CHECKING:
    from google.cloud.storage import Blob

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.intake import Arrival

log = logging.getLogger(__name__)

_FIELDS = "items(name,generation,size,timeCreated),nextPageToken"
ASKED_ONE_BY_ONE = 500
"""Objects of a dataset that are looked up one by one; for further ones, all its candidates are listed instead."""

CLOCK_SKEW = timedelta(minutes=5)
"""Greatest difference between this machine's clock and that of Cloud Storage."""

CHECKED_AGAIN = timedelta(days=1)
"""Time after which a dataset's older objects, which all had candidates, are checked again."""


class Cleared(BaseModel):
    """All objects of a dataset that are older than `before` had their candidates in a sweep that began at `since`."""

    model_config = ConfigDict(frozen=True)

    before: AwareDatetime
    since: AwareDatetime


class SweepPosition(BaseModel):
    """Position of the sweeps, which is kept between them: each continues where the last one stopped or was killed."""

    model_config = ConfigDict(frozen=True)

    dataset: str | None = None
    """The dataset that is being listed; None at the beginning."""
    after: str = ""
    """The last object that was looked at."""
    began_at: AwareDatetime | None = None
    """When the listing of this dataset began."""
    cleared: dict[str, Cleared] = {}
    """By dataset, bucket and prefix: when one of these changes, all objects are looked at again."""


@dataclass(frozen=True, slots=True)
class ListingPage:
    """The result of one page of a listing."""

    objects: int
    lost: tuple[Arrival, ...]
    """Objects that never became a candidate."""
    position: SweepPosition
    """Position of the sweep once these arrivals are recorded."""
    stands_at: str
    more: bool
    """Whether this dataset has more pages."""


class LostArrivals:
    """The objects under watched prefixes that are older than `intake.patience_minutes` and have no candidate.

    Args:
        config: has the watched prefixes.
        store: the record.
        position: of the last sweep.
        now: aware, UTC.
    """

    def __init__(self, config: Config, store: RecordStore, position: SweepPosition, *, now: datetime) -> None:
        self._config = config
        self._store = store
        self._position = position
        self._now = now

    def pages(self) -> Iterator[ListingPage]:
        """Yield page by page, from the position of the last sweep to the end of the last prefix.

        The caller records the lost arrivals, keeps the page's position, and may stop at any page.

        Raises:
            CloudUnavailable: a page could not be listed, even after the client's own retries.
        """
        for name in sorted(self._config.datasets):
            if self._position.dataset is None or name >= self._position.dataset:
                yield from self._dataset(name)
        # Entries that are not watched any more are dropped: the state has room for some hundreds only.
        places = {self._place(name) for name in self._config.datasets}
        cleared = {place: one for place, one in self._position.cleared.items() if place in places}
        self._position = SweepPosition(cleared=cleared)

    def _place(self, name: str) -> str:
        return f"{name} gs://{self._config.bucket}/{self._config.datasets[name].prefix}"

    @property
    def position(self) -> SweepPosition:
        """Position of the sweep; it is the beginning again after the last of `pages`."""
        return self._position

    def _dataset(self, name: str) -> Iterator[ListingPage]:
        prefix = self._config.datasets[name].prefix
        kept = self._position
        resumed = kept.dataset == name and kept.after.startswith(prefix) and kept.began_at is not None
        began_at = kept.began_at if resumed and kept.began_at is not None else self._now
        after = kept.after if resumed else ""
        place = self._place(name)
        cleared = kept.cleared.get(place)
        if cleared is not None and self._now - cleared.since > CHECKED_AGAIN:
            cleared = None
        known = _KnownCandidates(self._store, name)
        listing = self._store.bucket.list_blobs(
            prefix=prefix, start_offset=after or None, fields=_FIELDS, timeout=CALL_TIMEOUT_SECONDS
        )
        for blobs in _pages(listing, f"list gs://{self._config.bucket}/{prefix}"):
            lost = known.without_candidate(self._arrivals(name, blobs, cleared))
            after = blobs[-1].name if blobs else after
            self._position = SweepPosition(dataset=name, after=after, began_at=began_at, cleared=self._position.cleared)
            more = listing.next_page_token is not None
            yield ListingPage(len(blobs), tuple(lost), self._position, f"{name}: {after}", more)
        # Only here, after the caller has recorded the arrivals of the last page; younger objects are looked at again.
        before = began_at - self._config.intake.patience - CLOCK_SKEW
        since = began_at if cleared is None else cleared.since
        self._position = self._position.model_copy(
            update={"cleared": {**self._position.cleared, place: Cleared(before=before, since=since)}}
        )

    def _arrivals(self, name: str, blobs: Sequence[Blob], cleared: Cleared | None) -> list[Arrival]:
        """Return the arrivals of those objects that may be without a candidate."""
        latest = self._now - self._config.intake.patience
        return [
            made
            for blob in blobs
            if blob.time_created <= latest
            and (cleared is None or blob.time_created >= cleared.before)
            and (made := self._arrival(name, blob)) is not None
        ]

    def _arrival(self, dataset: str, blob: Blob) -> Arrival | None:
        """Return the arrival of `blob`; None if it is not one of this dataset, or its figures cannot be stored."""
        if admission(self._config, self._config.bucket, blob.name) != Admitted(dataset):
            return None
        try:
            notice = Notice(
                bucket=self._config.bucket, object=blob.name, generation=blob.generation, size_bytes=blob.size
            )
        except ValidationError as error:
            log.warning("%r is left out of the sweep: %s", f"gs://{self._config.bucket}/{blob.name}", error)
            return None
        return arrival(notice, dataset=dataset, found_by="sweep", now=self._now, created_at=blob.time_created)


class _KnownCandidates:
    """The candidates of one dataset, looked up one by one or listed all at once, whichever takes fewer calls."""

    def __init__(self, store: RecordStore, dataset: str) -> None:
        self._store = store
        self._dataset = dataset
        self._asked = 0
        self._folders: set[str] | None = None

    def without_candidate(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Return the arrivals that are not recorded."""
        self._asked += len(arrivals)
        if self._folders is None and self._asked > ASKED_ONE_BY_ONE:
            self._folders = self._list()
        if self._folders is not None:
            return [one for one in arrivals if one.candidate not in self._folders]
        recorded = at_once(self._is_recorded, [one.candidate for one in arrivals])
        return [one for one, there in zip(arrivals, recorded, strict=True) if not there]

    def _is_recorded(self, candidate: str) -> bool:
        path = record_paths.arrival_path(candidate)
        with google_call(f"look for gs://{self._store.bucket.name}/{path}"):
            return bool(self._store.bucket.blob(path).exists(timeout=CALL_TIMEOUT_SECONDS))

    def _list(self) -> set[str]:
        # Lists folders, not the dozen objects in each: even after a crash, no folder is without its arrival.
        prefix = f"{record_paths.CANDIDATES}{self._dataset}-"
        listing = self._store.bucket.list_blobs(
            prefix=prefix, delimiter="/", fields="prefixes,nextPageToken", timeout=CALL_TIMEOUT_SECONDS
        )
        found: set[str] = set()
        for page in _raw_pages(listing, f"list the folders gs://{self._store.bucket.name}/{prefix}"):
            found.update(name.removeprefix(record_paths.CANDIDATES).rstrip("/") for name in page.prefixes)
        return found


def _pages(listing: Any, what: str) -> Iterator[list[Blob]]:
    for page in _raw_pages(listing, what):
        yield list(page)


def _raw_pages(listing: Any, what: str) -> Iterator[Any]:
    pages = listing.pages
    while True:
        # Only the call for the page is within `google_call`, and not the work of the caller in between.
        with google_call(what):
            page = next(pages, None)
        if page is None:
            return
        yield page
