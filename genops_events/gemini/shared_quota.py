"""Share a quota with all processes that use it, through small objects in the bucket.

For each block of seconds that a process wants a share of, it writes an entry before the block closes, and lists the block once
it has closed. Each process whose entry was made in time has a share, by the arithmetic of `quota_shares`. What is left of a
block is cut into pieces: a call that waits meanwhile has its process claim the next one, by an object that only one can create.

| the process dies, or a call fails | effect |
|---|---|
| before its entry is written | no share; the others have it |
| after that | its share of this block, and of the next at most, is lost: 10 seconds. Another holder removes its objects |
| the answer to an entry's write is lost | the write is repeated, finds its own object, and takes that object's time |
| the entry comes too late | no share of that block; the other processes do not count it either |
| the answer to a claim is lost | nobody uses that piece: a quarter of a second of what is left |
| the listing fails until the block is over | no call of this process begins in that block |
| the bucket is away | no call begins: its answers could not be kept, either. After three minutes it raises CloudUnavailable |

The clocks of the machines are not used: blocks are those of the store's clock, which the answer to every write shows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

from genops_events.gcp.errors import CloudUnavailable
from genops_events.gemini.permits import Permits, StoreClock
from genops_events.gemini.quota_objects import REQUESTS, TOKENS, Listed, QuotaObjects
from genops_events.gemini.quota_shares import (
    PIECE_SECONDS,
    PIECES,
    Demand,
    begins_at,
    block_at,
    closes_at,
    divided,
    pieces,
    settles_at,
    slots,
)

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.config.quotas import Quota

log = logging.getLogger(__name__)

AWAY_SECONDS = 180.0
"""Seconds without an answer from the store after which waiting calls are given up; the task is retried then."""
ENTERED_SECONDS = 0.3, 1.5
"""Entries are made between so many seconds before their block closes, at a random moment."""
TIDIED_BLOCKS = 24
"""Every so many blocks, each holder removes the objects that others have left."""
TIDIED_LEAVES = 4
"""Of holders that leave, one in so many removes what others have left."""
WIDE_SECONDS = 0.5
"""A reading of the store's clock that took longer, because the store or the machine was slow, is made again."""
CLOCK_READINGS = 3
LOST_SECONDS = 0.05
"""Who was too late for a piece claims the next one after at most so many seconds."""
SPREAD_PIECES = 4
"""A process that was too late for a piece takes any of the next so many: others are at the same."""


@dataclass(frozen=True, slots=True)
class Share:
    """One holder's permits in one block, or in one piece of the block's rest."""

    block: int
    requests: int
    requests_of_all: int
    """The quota's permits in this block: the sum of all shares and pieces never exceeds them."""
    tokens: int | None
    holders: int
    """Processes that have entered the block in time."""
    piece: int | None = None


class SharedQuota:
    """One process's share in a quota of calls per minute, and of tokens where one is given, that other processes use, too.

    async with SharedQuota(bucket, quota) as shared:
        await shared.requests.take()

    The store is called from the first call that waits on.

    Args:
        bucket: of the record.
        quota: its place, and its figures per minute.
        on_share: called with each share and each piece that this process has.
    """

    def __init__(self, bucket: Bucket, quota: Quota, *, on_share: Callable[[Share], None] = lambda _: None) -> None:
        self.quota = quota
        self._on_share = on_share
        self._holder = uuid.uuid4().hex
        self._objects = QuotaObjects(bucket, quota, self._holder)
        self._clock: StoreClock | None = None
        self._call_seconds = 0.0
        """Seconds that the store took for the last write."""
        self._well_at = 0.0
        """When the store last did what it was asked for, by the monotonic clock."""
        self._away: CloudUnavailable | None = None
        """Why calls are given up until the store is well again."""
        self._joined = asyncio.Event()
        self._short = asyncio.Event()
        """A call waits, and needs a piece."""
        self._block = 0
        """The block that this holder takes part in next; each is handed out once."""
        self._piece_until = 0.0
        """When the last piece that it has ends, by the store's clock."""
        self._entered: dict[int, bool] = {}
        """Blocks with an entry of this holder, and whether all other holders see it."""
        self._blocks: dict[int, _Block] = {}
        self._listing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.requests = Permits(self._short.set)
        self.tokens = None if quota.tokens_per_minute is None else Permits(self._short.set)
        self._kinds = {REQUESTS: (self.requests, quota.requests_per_minute)}
        if self.tokens is not None and quota.tokens_per_minute is not None:
            self._kinds[TOKENS] = self.tokens, quota.tokens_per_minute

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._keep_on(self._short, self._take_piece)),
            asyncio.create_task(self._keep_on(self._joined, self._take_part)),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._clock is not None:
            with suppress(Exception):  # no run fails by that; another holder removes what is left
                await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        """Give up what this holder has not used. What it has used stays until its block is over: others may look at it now."""
        at = time.monotonic()
        assert self._clock is not None
        self._objects.remove_own(range(block_at(self._clock.earliest(at)), block_at(self._clock.latest(at)) + 1))
        if int(self._holder, 16) % TIDIED_LEAVES == 0:
            self._objects.remove_before(block_at(self._clock.earliest(at)) - 1)

    async def _keep_on(self, needed: asyncio.Event, step: Callable[[], Awaitable[None]]) -> None:
        """Take one step after the other, each once it is needed, until this task is cancelled."""
        failures, since = 0, 0.0
        while True:
            await needed.wait()
            try:
                await step()
            except CloudUnavailable as error:
                if not failures or self._well_at > since:
                    failures, since = 0, time.monotonic()
                failures += 1
                for_good = time.monotonic() - since > AWAY_SECONDS
                if failures == 1 or for_good:
                    log.warning(
                        "No share of the quota of %s can be had now, and no call begins. %s", self.quota.model, error
                    )
                if for_good:
                    self._away = error
                    self._fail(error)
                needed.set()
                await asyncio.sleep(random.uniform(0.1, 0.3) * 2 ** min(failures - 1, 4))  # noqa: S311 - not a secret
            except Exception as error:  # noqa: BLE001 - after any other error, calls would wait for ever
                self._fail(error)
                return

    def _is_well(self) -> None:
        """Note that the store did what it was asked for: calls that were given up may wait again."""
        self._well_at = time.monotonic()
        if self._away is not None:
            self._away = None
            self._fail(None)

    def _fail(self, error: Exception | None) -> None:
        for permits, _ in self._kinds.values():
            permits.fail(error)

    # ── a share of each block ────────────────────────────────────────────────────────────────────────────────────────

    async def _take_part(self) -> None:
        """Enter the next block where this holder needs a share of it, and take that share."""
        under_way = block_at(self._now())
        if self._block not in self._entered or self._block < under_way:
            self._block = max(self._block, under_way + 1)
        block = self._block
        if block not in self._entered:
            early = random.uniform(*ENTERED_SECONDS) + self._call_seconds  # noqa: S311 - not a secret
            while (wait := closes_at(block) - early - self._now()) > 0:  # noqa: ASYNC110 - a moment, not a condition
                await asyncio.sleep(wait)
            needs_some = any(permits.used or permits.waiting for permits, _ in self._kinds.values())
            if needs_some and self._now() < closes_at(block):
                await self._enter(block)
        if self._entered.get(block):
            await self._sleep_until(settles_at(block))
            found = await self._look(block)
            if self._holder in found.listed.entries:
                self._hand_out(block, found)
            self._is_well()
        await self._sleep_until(settles_at(block))
        self._block = block + 1
        await asyncio.to_thread(self._tidy, block)
        self._blocks = {one: found for one, found in self._blocks.items() if one >= block - 1}
        self._entered = {one: is_seen for one, is_seen in self._entered.items() if one >= block - 1}

    async def _enter(self, block: int) -> None:
        """Write this holder's entry for a block, and note whether all other holders see it."""
        waiting = any(permits.waiting for permits, _ in self._kinds.values())
        used = {kind: permits.used for kind, (permits, _) in self._kinds.items()}
        demands = {
            kind: Demand(per_minute, permits.next_demand(per_minute, waiting=waiting))
            for kind, (permits, per_minute) in self._kinds.items()
        }
        clock = await asyncio.to_thread(self._objects.enter, block, demands)
        for kind, (permits, _) in self._kinds.items():
            permits.used -= used[kind]
        self._read(clock)
        # Other holders may have missed an entry whose write was not answered before the block had settled.
        self._entered[block] = clock.reading <= closes_at(block) and clock.latest(clock.answered_at) <= settles_at(
            block
        )

    def _hand_out(self, block: int, found: _Block) -> None:
        assert self._clock is not None
        begins = self._clock.monotonic(begins_at(block))
        for kind, (permits, _) in self._kinds.items():
            permits.add(begins, slots(found.given[kind], self._holder))
        self._tell(block, found, {kind: given.get(self._holder, 0) for kind, given in found.given.items()})

    def _tell(self, block: int, found: _Block, permits: dict[str, int], piece: int | None = None) -> None:
        of_all = sum(found.given[REQUESTS].values())
        holders = len(found.listed.entries)
        self._on_share(Share(block, permits[REQUESTS], of_all, permits.get(TOKENS), holders, piece))

    def _tidy(self, block: int) -> None:
        """Remove this holder's objects of blocks that are over, and sometimes those that others have left."""
        with suppress(Exception):  # no run fails by that; the next block tries again
            self._objects.remove_own({block - 1, block, block + 1})
            if (block + int(self._holder, 16)) % TIDIED_BLOCKS == 0:
                self._objects.remove_before(block - 2)

    # ── a piece of what is left ──────────────────────────────────────────────────────────────────────────────────────

    async def _take_piece(self) -> None:
        """Claim the next piece that is free and has permits; return without one when no call needs it any more."""
        self._short.clear()
        if self._clock is None:
            await self._join()
        choice, ahead = 1, 0.0
        while await self._is_short():
            block = block_at(self._now())
            await self._sleep_until(settles_at(block))
            found = await self._look(block)
            first = int((max(self._now() + ahead, self._piece_until) - begins_at(block)) / PIECE_SECONDS)
            free = list(islice((one for one in range(first, PIECES) if self._is_free(found, one)), choice))
            if not free:
                await self._sleep_until(begins_at(block + 1))
                continue
            piece = random.choice(free)  # noqa: S311 - not a secret
            found.listed.taken.add(piece)
            clock = await asyncio.to_thread(self._objects.claim, block, piece)
            if clock is None:
                choice = SPREAD_PIECES
                await asyncio.sleep(random.uniform(0.0, LOST_SECONDS))  # noqa: S311 - not a secret
                continue
            self._read(clock)
            self._hand_out_piece(block, found, piece)
            self._is_well()
            if self._now() < self._piece_until:
                return
            ahead = clock.width  # it was over when the store answered: the next one is claimed so much earlier

    async def _join(self) -> None:
        """Read the store's clock: so often that a moment's slowness of the store or the machine does not make it useless."""
        for reading in range(CLOCK_READINGS):
            self._read(await asyncio.to_thread(self._objects.clock, block_at(time.time()), reading))
            assert self._clock is not None
            if self._clock.width < WIDE_SECONDS:
                break
        self._joined.set()

    def _read(self, clock: StoreClock) -> None:
        self._call_seconds = clock.width
        if self._clock is None or clock.replaces(self._clock):
            self._clock = clock

    async def _is_short(self) -> bool:
        """Return whether calls need a piece, once the last one is used: one ahead, and no more, since the others wait, too.

        After calls were given up, the store is tried although none waits.
        """
        await self._sleep_until(self._piece_until - PIECE_SECONDS)
        return self._away is not None or any(permits.is_short for permits, _ in self._kinds.values())

    def _is_free(self, found: _Block, piece: int) -> bool:
        """Whether a piece has permits of each kind that calls wait for, and nobody is known to have it."""
        needed = [kind for kind, (permits, _) in self._kinds.items() if permits.waiting]
        return piece not in found.listed.taken and all(found.pieces[kind][piece] for kind in needed)

    def _hand_out_piece(self, block: int, found: _Block, piece: int) -> None:
        assert self._clock is not None
        begins = begins_at(block) + piece * PIECE_SECONDS
        self._piece_until = begins + PIECE_SECONDS
        for kind, (permits, _) in self._kinds.items():
            permits.add_piece(self._clock.monotonic(begins), found.pieces[kind][piece])
        self._tell(block, found, {kind: counts[piece] for kind, counts in found.pieces.items()}, piece)

    # ── the block, and the clock ─────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, block: int) -> _Block:
        """Return what a block that has settled holds; it is listed once."""
        async with self._listing:
            if block not in self._blocks:
                listed = await asyncio.to_thread(self._objects.listed, block)
                if self._entered.get(block) is False and listed.entries.keys() == {self._holder}:
                    listed.entries.clear()  # nobody has a share, so that all of it is left
                self._blocks[block] = _Block(block, listed, {kind: most for kind, (_, most) in self._kinds.items()})
            return self._blocks[block]

    def _now(self) -> float:
        """Return the most that the store's clock can show now."""
        assert self._clock is not None
        return self._clock.latest(time.monotonic())

    async def _sleep_until(self, shown: float) -> None:
        """Return once the store's clock shows at least this."""
        assert self._clock is not None
        while (wait := shown - self._clock.earliest(time.monotonic())) > 0:  # noqa: ASYNC110 - a moment, not a condition
            await asyncio.sleep(wait)


class _Block:
    """What a block's folder holds, and who has how many permits by that.

    Args:
        number: of the block.
        listed: its folder.
        per_minute: the quota by kind, as this process knows it.
    """

    def __init__(self, number: int, listed: Listed, per_minute: dict[str, int]) -> None:
        self.listed = listed
        self.given = {
            kind: divided(
                {holder: demands[kind] for holder, demands in listed.entries.items() if kind in demands},
                number,
                per_minute=most,
            )
            for kind, most in per_minute.items()
        }
        """Permits by kind and by holder, and of what is left."""

    @cached_property
    def pieces(self) -> dict[str, list[int]]:
        """The permits of each piece of what is left, by kind."""
        return {kind: pieces(given) for kind, given in self.given.items()}
