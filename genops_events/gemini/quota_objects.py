"""Hold the small objects in the bucket by which processes share a quota. Blocking calls, each with a timeout and made once.

| object below the quota's folder | who writes it | what it says |
|---|---|---|
| `<block>/<holder>` | each process that wants a share of a block, before the block closes | how many permits it could use |
| `<block>/piece-<number>` | the first process that wants a piece of the block's rest | nothing but that it is taken |
| `<block>/clock-<number>-<holder>` | each process when it begins, one or a few | the store's clock, by its time of creation |

All are empty; what an entry says is in its metadata. Objects are created and never changed: Cloud Storage takes one write a
second to a name (https://cloud.google.com/storage/quotas, read 2026-11-30).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.gemini.permits import StoreClock
from genops_events.gemini.quota_shares import Demand, closes_at
from genops_events.record.paths import quota_block_prefix, quota_entry_path, quota_prefix

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

    from genops_events.config.quotas import Quota

CALL_SECONDS = 4.0
"""Timeout of one call to the store: a longer one would be too late for its block."""
REQUESTS, TOKENS = "requests", "tokens"
"""The kinds of permits."""
REMOVED_AT_ONCE = 100
"""Most calls in one batch: google-cloud-storage takes no more (`Batch._MAX_BATCH_SIZE`)."""
TIDYING_CALLS = 10
_PIECE, _CLOCK = "piece-", "clock-"
_DIGITS = 15

Demands = dict[str, Demand]
"""By kind of permits."""


@dataclass(slots=True)
class Listed:
    """What a block's folder holds."""

    entries: dict[str, Demands] = field(default_factory=dict)
    """The holders that have entered the block in time, and their demands."""
    taken: set[int] = field(default_factory=set)
    """Numbers of the pieces of its rest that are taken."""


class QuotaObjects:
    """The objects of one quota, as one holder reads and writes them."""

    def __init__(self, bucket: Bucket, quota: Quota, holder: str) -> None:
        self._bucket = bucket
        self._place = quota.project, quota.location, quota.model
        self._holder = holder
        self._begun: dict[str, tuple[int, float]] = {}
        """Objects that this holder has begun to write: block, and when it began, by the monotonic clock."""

    def clock(self, block: int, reading: int) -> StoreClock:
        """Write an object to read the store's clock.

        Args:
            block: may be a wrong one.
            reading: its number; each needs an object of its own.
        """
        name = f"{_CLOCK}{reading}-{self._holder}"
        return self._create(block, name, {}) or self._clock_of(block, name)

    def enter(self, block: int, demands: Demands) -> StoreClock:
        """Write this holder's entry for a block; return the store's clock, whose reading is the entry's time."""
        said = {f"{kind}-per-minute": str(demand.per_minute) for kind, demand in demands.items()}
        said |= {f"{kind}-most": str(demand.most) for kind, demand in demands.items() if demand.most is not None}
        return self._create(block, self._holder, said) or self._clock_of(block, self._holder)

    def claim(self, block: int, piece: int) -> StoreClock | None:
        """Claim a piece of a block's rest; return the store's clock at that, or None where another process has it.

        If the answer is lost, nobody has the piece. Where many want the same at once, Cloud Storage may ask some to write later:
        they have lost it, too.
        """
        from google.api_core.exceptions import TooManyRequests

        try:
            return self._create(block, f"{_PIECE}{piece:02}", {})
        except CloudUnavailable as error:
            if isinstance(error.__cause__, TooManyRequests):
                return None
            raise

    def listed(self, block: int) -> Listed:
        """Return the entries of a block that were made in time, and the pieces of its rest that are taken."""
        folder, found = quota_block_prefix(*self._place, block), Listed()
        with google_call(f"list gs://{self._bucket.name}/{folder}"):
            for blob in self._blobs(folder, "name,timeCreated,metadata"):
                name = blob.name.removeprefix(folder)
                if name.startswith(_PIECE):
                    if (number := _number(name.removeprefix(_PIECE))) is not None:
                        found.taken.add(number)
                elif not name.startswith(_CLOCK) and _seconds(blob) <= closes_at(block):
                    found.entries[name] = _read(blob.metadata or {})
        return found

    def remove_own(self, kept: Iterable[int]) -> None:
        """Remove the objects of this holder, but for those of some blocks."""
        still = set(kept)
        self._remove([name for name, (block, _) in list(self._begun.items()) if block not in still])

    def remove_before(self, block: int) -> None:
        """Remove objects of earlier blocks, whoever has left them there; `TIDYING_CALLS` times `REMOVED_AT_ONCE` at most."""
        folder, first_kept = quota_prefix(*self._place), quota_block_prefix(*self._place, block)
        for _ in range(TIDYING_CALLS):
            with google_call(f"list gs://{self._bucket.name}/{folder}"):
                names = [blob.name for blob in self._blobs(folder, "name", most=REMOVED_AT_ONCE)]
            old = [name for name in names if name < first_kept]
            self._remove(old)
            if len(old) < REMOVED_AT_ONCE:
                return

    # ── the calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _create(self, block: int, name: str, metadata: dict[str, str]) -> StoreClock | None:
        """Write an object unless it exists; return the store's clock by its time, or None where it exists."""
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(quota_entry_path(*self._place, block, name))
        blob.metadata = metadata
        asked_at = time.monotonic()
        self._begun.setdefault(blob.name, (block, asked_at))
        with google_call(f"write gs://{self._bucket.name}/{blob.name}"):
            try:
                blob.upload_from_string(b"", if_generation_match=0, timeout=CALL_SECONDS, retry=None)
            except PreconditionFailed:
                return None
        return StoreClock(_seconds(blob), asked_at, time.monotonic())

    def _clock_of(self, block: int, name: str) -> StoreClock:
        """Return the store's clock by an object of this holder whose write was not answered.

        Raises:
            CloudUnavailable: it is gone meanwhile; it can be written again.
        """
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(quota_entry_path(*self._place, block, name))
        with google_call(f"read gs://{self._bucket.name}/{blob.name}"):
            try:
                blob.reload(timeout=CALL_SECONDS, retry=None)
            except NotFound as error:
                said = f"gs://{self._bucket.name}/{blob.name} is there when it is written, and not when it is read."
                raise CloudUnavailable(said) from error
        return StoreClock(_seconds(blob), self._begun[blob.name][1], time.monotonic())

    def _blobs(self, prefix: str, fields: str, *, most: int | None = None) -> Iterator[Blob]:
        found: Iterator[Blob] = self._bucket.list_blobs(
            prefix=prefix, max_results=most, fields=f"items({fields}),nextPageToken", timeout=CALL_SECONDS, retry=None
        )
        return found

    def _remove(self, names: list[str]) -> None:
        """Remove objects, many in one call. What is gone already, or cannot be removed now, others see to."""
        for first in range(0, len(names), REMOVED_AT_ONCE):
            some = names[first : first + REMOVED_AT_ONCE]
            what = f"remove objects below gs://{self._bucket.name}/{quota_prefix(*self._place)}"
            with google_call(what), self._bucket.client.batch(raise_exception=False):
                for name in some:
                    self._bucket.delete_blob(name, timeout=CALL_SECONDS, retry=None)
            for name in some:
                self._begun.pop(name, None)


def _seconds(blob: Blob) -> float:
    assert blob.time_created is not None
    return float(blob.time_created.timestamp())


def _read(metadata: Mapping[str, str]) -> Demands:
    """Return the demands of an entry; an entry that cannot be read was not written by this code, and has no share."""
    found = {}
    for kind in (REQUESTS, TOKENS):
        per_minute, most = _number(metadata.get(f"{kind}-per-minute")), _number(metadata.get(f"{kind}-most"))
        if per_minute is not None:
            found[kind] = Demand(per_minute, most)
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else None
