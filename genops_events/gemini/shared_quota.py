"""Share a quota with all processes that use it, through small objects in the bucket.

For each block of seconds that a process wants a share of, it writes one empty object below the quota's folder in the record,
named by block and holder, and lists the block once it has closed. Each process whose object was made in time has a share, by
the arithmetic of `quota_shares`. No object is written twice: Cloud Storage takes one write a second to a name
(https://cloud.google.com/storage/quotas, read 2026-11-30), and a lease in one document would need one for each process.

| the process dies, or a call fails | effect |
|---|---|
| before the object is written | no share; the others have it |
| after that | its share of this block, and of the next at most, is lost: 10 seconds. Another holder removes its objects |
| the answer to the write is lost | the write is repeated, finds its own object, and takes that object's time |
| the write comes too late | no share of that block; the other processes do not count it either |
| the listing fails until the block is over | no call begins in that block |
| the bucket is away | no call begins: its answers could not be kept, either. After three minutes it raises CloudUnavailable |

The clocks of the machines are not used: blocks are those of the store's clock, which the answer to every write shows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.gemini.permits import Permits, StoreClock
from genops_events.gemini.quota_shares import (
    Demand,
    begins_at,
    block_at,
    closes_at,
    next_demand,
    permits_of,
    settles_at,
    shares,
    slots,
)
from genops_events.record.paths import quota_block_prefix, quota_entry_path, quota_prefix

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

    from genops_events.config.quotas import Quota

log = logging.getLogger(__name__)

CALL_SECONDS = 4.0
"""Timeout of one call to the store: a longer one would be too late for its block."""
CREATE_TRIES = 3
"""How often an object is written that another holder removes at the same moment; the next block is tried after that."""
AWAY_SECONDS = 180.0
"""Seconds without an answer from the store after which waiting calls are given up; the task is retried then."""
ENTERED_SECONDS = 0.3, 1.5
"""Entries are made between so many seconds before their block closes, at a random moment."""
TIDIED_BLOCKS = 24
"""Every so many blocks, each holder removes the objects of holders that died."""
_TIDIED_AT_ONCE = 20
_DIGITS = 15

_REQUESTS, _TOKENS = "requests", "tokens"
_FIRST = "first"
"""The object by which one holder takes a whole block that has no entry made in time."""

Demands = dict[str, Demand]
"""One for requests, and one for tokens."""


@dataclass(frozen=True, slots=True)
class Share:
    """One holder's permits in one block."""

    block: int
    requests: int
    requests_of_all: int
    """The quota's permits in this block: the sum of all shares never exceeds them."""
    tokens: int | None
    holders: int


class SharedQuota:
    """One process's share in a quota of calls per minute, and of tokens where one is given, that other processes use, too.

    async with SharedQuota(bucket, quota) as shared:
        await shared.requests.take()

    Args:
        bucket: of the record.
        quota: its place, and its figures per minute.
        on_share: called with this process's share of each block.
    """

    def __init__(self, bucket: Bucket, quota: Quota, *, on_share: Callable[[Share], None] = lambda _: None) -> None:
        self._bucket = bucket
        self.quota = quota
        self._place = quota.project, quota.location, quota.model
        self._on_share = on_share
        self._holder = uuid.uuid4().hex
        self._clock: StoreClock | None = None
        self._block = 0
        """The next block whose permits are handed out; each block is handed out once."""
        self._entered: dict[int, bool] = {}
        """Blocks with an entry of this holder, and whether all other holders see it."""
        self._begun: dict[str, tuple[int, float]] = {}
        """Objects that this holder has begun to write: block, and start of the write by the monotonic clock."""
        self._well_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self.requests = Permits()
        self.tokens = None if quota.tokens_per_minute is None else Permits()

    async def __aenter__(self) -> Self:
        self._well_at = time.monotonic()
        self._task = asyncio.create_task(self._keep_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        # A new holder then has this one's share. Objects that cannot be removed here, another holder removes.
        with suppress(GenopsError):
            await asyncio.to_thread(self._remove, list(self._begun))

    # ── one block after the other ────────────────────────────────────────────────────────────────────────────────────

    async def _keep_on(self) -> None:
        """Enter block after block and take the share of each, until this task is cancelled."""
        failures = 0
        while True:
            try:
                if self._clock is None:
                    await self._join()
                self._block = max(self._block, block_at(self._now()))
                await self._take_part(self._block)
                self._block += 1
                await asyncio.to_thread(self._tidy, self._block - 1)
            except CloudUnavailable as error:
                failures += 1
                for_good = time.monotonic() - self._well_at > AWAY_SECONDS
                if failures == 1 or for_good:
                    log.warning(
                        "No share of the quota of %s can be had now, and no call begins. %s", self.quota.model, error
                    )
                if for_good:
                    self._fail(error)
                await asyncio.sleep(random.uniform(0.1, 0.3) * 2 ** min(failures - 1, 4))  # noqa: S311 - not a secret
            except Exception as error:  # noqa: BLE001 - after any other error, calls would wait for ever
                self._fail(error)
                return
            else:
                failures, self._well_at = 0, time.monotonic()
                self._fail(None)

    def _fail(self, error: Exception | None) -> None:
        for permits in (self.requests, self.tokens):
            if permits is not None:
                permits.fail(error)

    async def _join(self) -> None:
        """Read the store's clock by writing an entry for the next block.

        The machine's clock says which block that is. Where it is wrong, the entry is for a wrong block and is removed.
        """
        tried = block_at(time.time()) + 1
        await asyncio.to_thread(self._enter, tried)
        if not block_at(self._now()) < tried <= block_at(self._now()) + 2:
            del self._entered[tried]
            with suppress(GenopsError):
                await asyncio.to_thread(self._remove, list(self._begun))

    async def _take_part(self, block: int) -> None:
        """Enter one block unless it has closed, and take this holder's share of it, or all of it where there is no other entry."""
        if block not in self._entered:
            await self._sleep_until(closes_at(block) - random.uniform(*ENTERED_SECONDS))  # noqa: S311 - not a secret
            if self._now() < closes_at(block):
                await asyncio.to_thread(self._enter, block)
        await self._sleep_until(settles_at(block))
        entries = await asyncio.to_thread(self._entries, block)
        if self._entered.get(block):
            if self._holder in entries:
                self._hand_out(block, entries)
        elif not entries.keys() - {self._holder} and await asyncio.to_thread(self._claim, block):
            self._hand_out(block, {self._holder: self._demands(everything=True)})

    def _hand_out(self, block: int, entries: Mapping[str, Demands]) -> None:
        assert self._clock is not None
        begins = self._clock.monotonic(begins_at(block))
        permits_by_kind: dict[str, int] = {}
        for kind, permits in ((_REQUESTS, self.requests), (_TOKENS, self.tokens)):
            if permits is not None:
                given = shares({holder: demands[kind] for holder, demands in entries.items() if kind in demands}, block)
                permits.add(begins, slots(given, self._holder))
                permits_by_kind[kind] = given[self._holder]
        lowest = min(demands[_REQUESTS].per_minute for demands in entries.values() if _REQUESTS in demands)
        self._on_share(
            Share(
                block,
                permits_by_kind[_REQUESTS],
                permits_of(lowest, block),
                permits_by_kind.get(_TOKENS),
                len(entries),
            )
        )

    def _demands(self, *, everything: bool) -> Demands:
        """Return this holder's demands for a block, by the permits that it has used since its last entry."""
        found = {}
        for kind, permits, per_minute in (
            (_REQUESTS, self.requests, self.quota.requests_per_minute),
            (_TOKENS, self.tokens, self.quota.tokens_per_minute),
        ):
            if permits is not None and per_minute is not None:
                most = None if everything else next_demand(used=permits.used, waiting=permits.waiting > 0)
                found[kind] = Demand(per_minute, most)
        return found

    def _now(self) -> float:
        """Return the most that the store's clock can show now."""
        assert self._clock is not None
        return self._clock.latest(time.monotonic())

    async def _sleep_until(self, shown: float) -> None:
        """Return once the store's clock shows at least this."""
        assert self._clock is not None
        while (wait := shown - self._clock.earliest(time.monotonic())) > 0:  # noqa: ASYNC110 - a moment, not a condition
            await asyncio.sleep(wait)

    # ── the store: blocking calls, each with a timeout and made once; `_keep_on` handles their errors ────────────────

    def _enter(self, block: int) -> None:
        """Write this holder's entry for a block, and note whether all other holders see it."""
        demands = self._demands(everything=self._clock is None)
        entry = {f"{kind}-per-minute": str(demand.per_minute) for kind, demand in demands.items()}
        entry |= {f"{kind}-most": str(demand.most) for kind, demand in demands.items() if demand.most is not None}
        before = self.requests.used, 0 if self.tokens is None else self.tokens.used
        name = quota_entry_path(*self._place, block, self._holder)
        made, _ = self._create(name, block, entry)
        answered_at = time.monotonic()
        self.requests.used -= before[0]
        if self.tokens is not None:
            self.tokens.used -= before[1]
        clock = StoreClock(made, self._begun[name][1], answered_at)
        if self._clock is None or clock.replaces(self._clock):
            self._clock = clock
        # Other holders may have missed an entry whose write was not answered before the block had settled.
        self._entered[block] = made <= closes_at(block) and clock.latest(answered_at) <= settles_at(block)

    def _claim(self, block: int) -> bool:
        """Claim a block that has no entry made in time; return whether this holder was the first to claim it."""
        _, found = self._create(quota_entry_path(*self._place, block, _FIRST), block, {"holder": self._holder})
        return found.get("holder") == self._holder

    def _create(self, name: str, block: int, metadata: dict[str, str]) -> tuple[float, Mapping[str, str]]:
        """Write an object once; return its time by the store's clock, and its metadata.

        An existing object is left as it is: this holder's own, where the answer was lost, or another's. If its holder leaves
        the quota and removes it before it can be read, the write is tried again.

        Raises:
            CloudUnavailable: it came to that `CREATE_TRIES` times.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        self._begun.setdefault(name, (block, time.monotonic()))
        for _ in range(CREATE_TRIES):
            blob = self._bucket.blob(name)
            blob.metadata = metadata
            with google_call(f"write gs://{self._bucket.name}/{name}"):
                try:
                    blob.upload_from_string(b"", if_generation_match=0, timeout=CALL_SECONDS, retry=None)
                except PreconditionFailed:
                    try:
                        blob.reload(timeout=CALL_SECONDS, retry=None)
                    except NotFound:
                        continue
            assert blob.time_created is not None
            return blob.time_created.timestamp(), blob.metadata or {}
        raise CloudUnavailable(f"gs://{self._bucket.name}/{name} is there when it is written, and not when it is read.")

    def _entries(self, block: int) -> dict[str, Demands]:
        """Return the holders that have entered a block in time, with their demands."""
        folder = quota_block_prefix(*self._place, block)
        with google_call(f"list gs://{self._bucket.name}/{folder}"):
            return {
                blob.name.removeprefix(folder): _read(blob.metadata or {})
                for blob in self._listed(folder, "name,timeCreated,metadata")
                if blob.time_created is not None
                and blob.time_created.timestamp() <= closes_at(block)
                and blob.name.removeprefix(folder) != _FIRST
            }

    def _listed(self, prefix: str, fields: str) -> Iterator[Blob]:
        listed: Iterator[Blob] = self._bucket.list_blobs(
            prefix=prefix, fields=f"items({fields}),nextPageToken", timeout=CALL_SECONDS, retry=None
        )
        return listed

    def _tidy(self, block: int) -> None:
        """Remove this holder's entries of past blocks, and every `TIDIED_BLOCKS` blocks those that others have left."""
        with suppress(GenopsError):  # the next block tries again
            self._remove([name for name, (of, _) in self._begun.items() if of < block - 1])
            if (block + int(self._holder, 16)) % TIDIED_BLOCKS == 0:
                folder = quota_prefix(*self._place)
                with google_call(f"list gs://{self._bucket.name}/{folder}"):
                    names = [blob.name for blob in self._listed(folder, "name")]
                oldest = quota_block_prefix(*self._place, block - 2)
                self._remove([name for name in names if name < oldest][:_TIDIED_AT_ONCE])
        self._entered = {one: is_seen for one, is_seen in self._entered.items() if one > block}

    def _remove(self, names: list[str]) -> None:
        from google.api_core.exceptions import NotFound

        for name in names:
            with google_call(f"remove gs://{self._bucket.name}/{name}"), suppress(NotFound):
                self._bucket.blob(name).delete(timeout=CALL_SECONDS, retry=None)
            self._begun.pop(name, None)


def _read(metadata: Mapping[str, str]) -> Demands:
    """Return the demands of an entry; an entry that cannot be read was not written by this code, and has no share."""
    found = {}
    for kind in (_REQUESTS, _TOKENS):
        per_minute, most = _number(metadata.get(f"{kind}-per-minute")), _number(metadata.get(f"{kind}-most"))
        if per_minute is not None:
            found[kind] = Demand(per_minute, most)
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else None
