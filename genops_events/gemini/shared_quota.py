"""Share a quota with all processes that use it: each says in the bucket that it takes part, and reads who else does.

For each block of seconds that a process wants a share of, it writes one empty object below the quota's folder in the record,
named by block and holder, and lists the block once it has closed. Whose object was made in time has a share, by the
arithmetic of `quota_shares`. Nobody writes an object twice: Cloud Storage takes one write a second to a name
(https://cloud.google.com/storage/quotas, read 2026-11-30), which a lease in one document would need for each process.

| dies or fails | what becomes of it |
|---|---|
| before the object is written | no share; the others have it |
| after that | its share of this block, and of the next at most, is lost: 10 seconds. Its objects are removed by another holder |
| the answer to the write is lost | the write is repeated, finds its own object, and goes by the time of that |
| the write comes too late | it has no share of that block, and knows it: the others do not count it either |
| the listing fails until the block is over | no call begins in that block |
| the bucket is away | no call begins: its answers could not be kept, either. After three minutes it raises CloudUnavailable |

Clocks of machines are not used: blocks are those of the store's clock, which every write tells.
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
    Wish,
    begins_at,
    block_at,
    closes_at,
    next_wish,
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
"""Bound of one call to the store: one that takes longer than this is of no use for the block that it is about."""
AWAY_SECONDS = 180.0
"""The store may be away so long before calls that wait are given up; the task is tried again then."""
ENTERED_SECONDS = 0.3, 1.5
"""Entries are made so long before their block closes, each at a moment of its own in between."""
TIDIED_BLOCKS = 24
"""Every so many blocks, each holder removes what others have left who died."""
_TIDIED_AT_ONCE = 20
_DIGITS = 15

_REQUESTS, _TOKENS = "requests", "tokens"
_FIRST = "first"
"""The object of a block by which one holder has all of it, where nobody has entered it in time."""

Wishes = dict[str, Wish]
"""Of requests, and of tokens."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one holder was given of one block."""

    block: int
    requests: int
    requests_of_all: int
    """The quota's permits in this block: the sum of all shares is never above."""
    tokens: int | None
    holders: int


class SharedQuota:
    """A process's part in a quota of calls a minute, and of tokens where one is given, that others use as well.

    async with SharedQuota(bucket, quota) as shared:
        await shared.requests.take()

    Args:
        bucket: of the record.
        quota: which one, and how much it allows.
        on_share: told what was given of each block.
    """

    def __init__(self, bucket: Bucket, quota: Quota, *, on_share: Callable[[Share], None] = lambda _: None) -> None:
        self._bucket = bucket
        self.quota = quota
        self._place = quota.project, quota.location, quota.model
        self._on_share = on_share
        self._holder = uuid.uuid4().hex
        self._clock: StoreClock | None = None
        self._block = 0
        """The next one to be handed out; each is handed out once."""
        self._entered: dict[int, bool] = {}
        """Blocks with an entry of this holder, and whether all see it."""
        self._begun: dict[str, tuple[int, float]] = {}
        """Objects that this holder has begun to write: of which block, and since when by the monotonic clock."""
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
        # Who comes now has what it leaves. What cannot be removed here, another holder removes.
        with suppress(GenopsError):
            await asyncio.to_thread(self._remove, list(self._begun))

    # ── one block after the other ────────────────────────────────────────────────────────────────────────────────────

    async def _keep_on(self) -> None:
        """Enter block after block, and take the share of each, until the quota is left."""
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
            except Exception as error:  # noqa: BLE001 - whatever it is: calls would wait for ever
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
        """Learn the store's clock, by an entry for the next block.

        Which one to try, the machine's clock says. Where that is wrong, the entry is, too, and is removed.
        """
        tried = block_at(time.time()) + 1
        await asyncio.to_thread(self._enter, tried)
        if not block_at(self._now()) < tried <= block_at(self._now()) + 2:
            del self._entered[tried]
            with suppress(GenopsError):
                await asyncio.to_thread(self._remove, list(self._begun))

    async def _take_part(self, block: int) -> None:
        """Enter one block unless it has closed, and take this holder's share of it; the whole where nobody else has entered it."""
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
            self._hand_out(block, {self._holder: self._wishes(everything=True)})

    def _hand_out(self, block: int, entries: Mapping[str, Wishes]) -> None:
        assert self._clock is not None
        begins = self._clock.monotonic(begins_at(block))
        mine: dict[str, int] = {}
        for kind, permits in ((_REQUESTS, self.requests), (_TOKENS, self.tokens)):
            if permits is not None:
                given = shares({holder: wishes[kind] for holder, wishes in entries.items() if kind in wishes}, block)
                permits.add(begins, slots(given, self._holder))
                mine[kind] = given[self._holder]
        lowest = min(wishes[_REQUESTS].per_minute for wishes in entries.values() if _REQUESTS in wishes)
        self._on_share(Share(block, mine[_REQUESTS], permits_of(lowest, block), mine.get(_TOKENS), len(entries)))

    def _wishes(self, *, everything: bool) -> Wishes:
        """Return what this holder wants of a block, by what it has used since its last entry."""
        found = {}
        for kind, permits, per_minute in (
            (_REQUESTS, self.requests, self.quota.requests_per_minute),
            (_TOKENS, self.tokens, self.quota.tokens_per_minute),
        ):
            if permits is not None and per_minute is not None:
                most = None if everything else next_wish(used=permits.used, waiting=permits.waiting > 0)
                found[kind] = Wish(per_minute, most)
        return found

    def _now(self) -> float:
        """Return what the store's clock shows at most."""
        assert self._clock is not None
        return self._clock.latest(time.monotonic())

    async def _sleep_until(self, shown: float) -> None:
        """Return when the store's clock surely shows this."""
        assert self._clock is not None
        while (wait := shown - self._clock.earliest(time.monotonic())) > 0:  # noqa: ASYNC110 - a moment, not a condition
            await asyncio.sleep(wait)

    # ── the store: blocking calls, each bounded and made once. What a failure means, the loop above decides ──────────

    def _enter(self, block: int) -> None:
        """Write that this holder takes part in a block; note whether all see that."""
        wishes = self._wishes(everything=self._clock is None)
        says = {f"{kind}-per-minute": str(wish.per_minute) for kind, wish in wishes.items()}
        says |= {f"{kind}-most": str(wish.most) for kind, wish in wishes.items() if wish.most is not None}
        before = self.requests.used, 0 if self.tokens is None else self.tokens.used
        name = quota_entry_path(*self._place, block, self._holder)
        made, _ = self._create(name, block, says)
        answered_at = time.monotonic()
        self.requests.used -= before[0]
        if self.tokens is not None:
            self.tokens.used -= before[1]
        told = StoreClock(made, self._begun[name][1], answered_at)
        if self._clock is None or told.goes_before(self._clock):
            self._clock = told
        # What is not answered before others look, they may not have seen.
        self._entered[block] = made <= closes_at(block) and told.latest(answered_at) <= settles_at(block)

    def _claim(self, block: int) -> bool:
        """Return whether this holder has a block that nobody has entered in time: the first who asks has it."""
        _, told = self._create(quota_entry_path(*self._place, block, _FIRST), block, {"holder": self._holder})
        return told.get("holder") == self._holder

    def _create(self, name: str, block: int, told: dict[str, str]) -> tuple[float, Mapping[str, str]]:
        """Write an object once; return when it was made, by the store's clock, and what it tells.

        One that is there is left as it is: this holder's own, of which the answer was lost, or another's. Where its holder
        leaves the quota, and removes it, before it can be read, the name is free again.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        self._begun.setdefault(name, (block, time.monotonic()))
        while True:
            blob = self._bucket.blob(name)
            blob.metadata = told
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

    def _entries(self, block: int) -> dict[str, Wishes]:
        """Return who has entered a block in time, and what each wants of it."""
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
        """Remove this holder's entries of blocks that are over; now and then those that others have left."""
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


def _read(told: Mapping[str, str]) -> Wishes:
    """Return what an entry wants; what cannot be read is no wish of ours, and has no share."""
    found = {}
    for kind in (_REQUESTS, _TOKENS):
        per_minute, most = _number(told.get(f"{kind}-per-minute")), _number(told.get(f"{kind}-most"))
        if per_minute is not None:
            found[kind] = Wish(per_minute, most)
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _DIGITS else None
