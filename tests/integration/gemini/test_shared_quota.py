"""One quota for all processes that use it: shares by the bucket of the record, with real processes and Google's own client."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from math import ceil
from types import SimpleNamespace
from typing import Any

import pytest
from cloud import StandIns
from google.api_core.exceptions import NotFound
from google.cloud.storage import Blob
from waiting import HANG_SECONDS, PAUSE_SECONDS, until, until_async

from genops_events.config import Config
from genops_events.config.quotas import Quota
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import shared_quota
from genops_events.gemini.permits import StoreClock
from genops_events.gemini.quota_objects import REMOVED_AT_ONCE, QuotaObjects
from genops_events.gemini.quota_shares import BLOCK_SECONDS, FIRST_PARTS, PIECE_SECONDS, PIECES, block_at, permits_of
from genops_events.gemini.shared_quota import Share, SharedQuota
from genops_events.record.paths import QUOTAS, quota_entry_path

MODEL = "gemini-2.5-flash"
PER_MINUTE = 6000

_HOLDER = """
import asyncio, json, sys
from genops_events.config import load_config
from genops_events.gemini.shared_quota import SharedQuota
from genops_events.gcp.record_store import RecordStore

def tell(share):
    print(json.dumps([share.block, share.requests, share.requests_of_all, share.holders, share.piece]), flush=True)

async def use():
    config = load_config()
    quota = config.quota_of("gemini-2.5-flash", "gemini-2.5-flash")
    async with SharedQuota(RecordStore.open(config).bucket, quota, on_share=tell) as shared:
        asking = asyncio.create_task(take_on(shared))
        await asyncio.to_thread(sys.stdin.read)
        asking.cancel()

async def take_on(shared):
    while True:
        await shared.requests.take()

asyncio.run(use())
"""


class Holder:
    """A process that takes every permit it can get, until it is told to leave."""

    def __init__(self) -> None:
        self.shares: list[tuple[int, int, int, int, int | None]] = []
        """Block, permits of this process, permits of all, holders, piece of the rest."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.shares.append(tuple(json.loads(line)))

    def had(self, *, holders: int) -> int:
        """Return in how many blocks it had a share beside so many, itself included."""
        return sum(1 for *_, count, piece in self.shares if count == holders and piece is None)

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self._reading.join()
        self.process.stdout.close()


@pytest.fixture
def holder(config: Config) -> Iterator[Callable[[], Holder]]:
    """Start a process that shares the quota; all are ended with the test."""
    started: list[Holder] = []

    def start() -> Holder:
        started.append(Holder())
        return started[-1]

    yield start
    for one in started:
        one.process.send_signal(signal.SIGCONT)
        one.end()


@pytest.fixture
def quota(config: Config) -> Quota:
    return config.quota_of(MODEL, MODEL)


def given(holders: list[Holder]) -> dict[int, list[tuple[int, int]]]:
    """Return by block the permits of each share and each piece, and what there was for all."""
    found = defaultdict(list)
    for one in holders:
        for block, permits, of_all, *_ in one.shares:
            found[block].append((permits, of_all))
    return found


def even(blocks: dict[int, list[tuple[int, int]]], holders: int) -> bool:
    """Whether so many processes had equal shares of a block, and all of it."""
    return any(
        len(shares) == holders
        and max(shares)[0] - min(shares)[0] <= 1
        and sum(permits for permits, _ in shares) == shares[0][1]
        for shares in blocks.values()
    )


def blocks_left(store: RecordStore) -> set[int]:
    """Return the blocks that objects of the quota are left of."""
    return {int(name.split("/")[-2]) for name in store.names(QUOTAS)}


def whole(found: list[Share]) -> list[Share]:
    """Return the shares of blocks that were entered in time, without the pieces of their rests."""
    return [share for share in found if share.piece is None]


def left(store: RecordStore) -> list[str]:
    return store.names(QUOTAS)


async def shared_by(store: RecordStore, quota: Quota, *, blocks: int = 1) -> list[Share]:
    """Take all permits that come until so many blocks' shares were given; return these, and the pieces."""
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while len(whole(found)) < blocks:
            await shared.requests.take()
    return found


def test_processes_share_one_quota_and_a_killed_ones_share_goes_to_the_others(
    holder: Callable[[], Holder], store: RecordStore
) -> None:
    holders = [holder() for _ in range(3)]
    until(lambda: all(one.had(holders=3) >= 2 for one in holders), what="three share")
    late = holder()
    until(lambda: even(given([*holders, late]), 4), what="a fourth has as much as each of the others")
    killed = holders.pop()
    killed.process.kill()
    everybody = [*holders, late]
    before = [one.had(holders=3) for one in everybody]
    until(
        lambda: all(one.had(holders=3) >= count + 2 for one, count in zip(everybody, before, strict=True)),
        what="three share what four had",
    )
    blocks = given([*everybody, killed])  # before one leaves: who lists after that may have its share, too
    for one in everybody:
        one.end()
    assert len(blocks) >= 6
    for shares in blocks.values():
        [of_all] = {of_all for _, of_all in shares}
        assert sum(permits for permits, _ in shares) <= of_all
    pieces = [(block, piece) for one in [*everybody, killed] for block, *_, piece in one.shares if piece is not None]
    assert pieces, "who begins does not wait for a block of its own"
    assert len(pieces) == len(set(pieces)), "nobody has what another has claimed"
    full = [shares for block, shares in blocks.items() if len(shares) == 4 and block not in dict(pieces)]
    assert full
    for shares in full:
        assert sum(mine for mine, _ in shares) == shares[0][1], "four shares are the whole"
    assert max(blocks_left(store)) - min(blocks_left(store)) <= 10, "what is over is removed by those who go on"


def test_a_stopped_process_uses_nothing_of_blocks_that_have_passed(
    holder: Callable[[], Holder], store: RecordStore
) -> None:
    stopped, other = holder(), holder()
    until(lambda: other.had(holders=2) >= 1 and stopped.had(holders=2) >= 1, what="two share")
    stopped.process.send_signal(signal.SIGSTOP)
    until(lambda: other.had(holders=1) >= 2, what="the other has all")
    alone = {block for block, _, _, count, _ in other.shares if count == 1}
    stopped.process.send_signal(signal.SIGCONT)
    seen = len(stopped.shares)
    until(lambda: len(stopped.shares) >= seen + 2, what="it has shares again")
    for block, shares in given([stopped, other]).items():
        assert sum(permits for permits, _ in shares) <= shares[0][1], f"block {block}, {block in alone=}"


async def test_alone_it_begins_at_once_and_has_the_whole_quota_of_each_block_after_that(
    store: RecordStore, quota: Quota
) -> None:
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while not (all_of_it := [one for one in whole(found) if one.requests == one.requests_of_all]):
            await shared.requests.take()
    assert found[0].piece is not None, "of the block under way"
    [share] = all_of_it
    assert share.requests == permits_of(quota.requests_per_minute, share.block)
    assert [one for one in found if one.block == share.block] == [share]


async def test_what_it_has_used_stays_until_the_block_is_over_and_the_next_to_tidy_removes_it(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    found = await shared_by(store, quota, blocks=2)
    stayed = blocks_left(store)
    assert all(block >= whole(found)[-1].block - 1 for block in stayed), "nothing of a block that is over"
    monkeypatch.setattr(shared_quota, "TIDIED_BLOCKS", 1)
    await shared_by(store, quota, blocks=3)
    assert not stayed & blocks_left(store)


async def beside_another(store: RecordStore, quota: Quota, **told: str) -> Share:
    """Return the first share of a process that begins while another one takes part in each block."""
    block = block_at(time.time()) + 2
    for one in range(block, block + 6):
        entered(store, quota, one, "other", requests_per_minute=str(PER_MINUTE), **told)
    await until_async(lambda: block_at(time.time()) >= block, what="the block begins")
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        await shared.requests.take()
    return found[0]


async def test_who_begins_beside_a_run_that_leaves_something_has_a_piece_of_it_at_once(
    store: RecordStore, quota: Quota
) -> None:
    share = await beside_another(store, quota, requests_most="100")
    assert share.piece is not None
    assert share.holders == 1, "the other: it has no entry of its own yet"
    assert share.requests == pytest.approx((share.requests_of_all - 100) / PIECES, abs=1)


async def test_who_begins_beside_a_run_that_needs_all_takes_no_piece_and_has_its_share_of_the_next_block(
    store: RecordStore, quota: Quota
) -> None:
    share = await beside_another(store, quota)
    assert share.piece is None, "the other has it all"
    assert share.holders == 2
    assert share.requests == ceil(PER_MINUTE * BLOCK_SECONDS / 60 / FIRST_PARTS), "what it asks for at first"


async def test_of_a_piece_that_another_has_claimed_nothing_is_used(store: RecordStore, quota: Quota) -> None:
    now = block_at(time.time())
    for ahead in range(2):
        for number in range(PIECES):
            if number != PIECES - 1:
                entered(store, quota, now + ahead, f"piece-{number:02}")
    found = await shared_by(store, quota)
    pieces = [(one.block, one.piece) for one in found if one.piece is not None]
    assert all(piece == PIECES - 1 for block, piece in pieces if block in {now, now + 1})


async def test_without_a_call_that_waits_nothing_is_written(cloud: StandIns, store: RecordStore, quota: Quota) -> None:
    async with SharedQuota(store.bucket, quota):
        await asyncio.sleep(0)
    assert left(store) == []


async def test_a_machines_wrong_clock_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    right = time.time
    began = block_at(right())
    monkeypatch.setattr(time, "time", lambda: right() - 86_400)
    found = await shared_by(store, quota)
    assert all(share.block >= began for share in found)
    assert min(blocks_left(store)) >= began, "the object for the wrong block is gone, too"


async def test_lost_answers_neither_lose_nor_double_a_share(cloud: StandIns, store: RecordStore, quota: Quota) -> None:
    cloud.storage.faults(lose_answers=0.5, error_methods=["objects.insert"])
    found = await shared_by(store, quota, blocks=2)
    had = [(share.block, share.piece) for share in found]
    assert len(set(had)) == len(had), "nothing is handed out twice"
    for block in {share.block for share in found}:
        of_block = [share for share in found if share.block == block]
        assert sum(share.requests for share in of_block) <= of_block[0].requests_of_all


async def test_while_the_bucket_is_away_no_call_begins_and_afterwards_they_do(
    monkeypatch: pytest.MonkeyPatch, cloud: StandIns, store: RecordStore, quota: Quota
) -> None:
    monkeypatch.setattr(shared_quota, "AWAY_SECONDS", 0.0)
    cloud.storage.faults(error_code="503", error_share=1.0)
    async with SharedQuota(store.bucket, quota) as shared:
        with pytest.raises(CloudUnavailable):
            await shared.requests.take()
        assert shared.requests.used == 0
        cloud.storage.faults()

        async def used() -> None:
            while not shared.requests.used:
                await asyncio.sleep(PAUSE_SECONDS)
                with suppress(CloudUnavailable):
                    await shared.requests.take()

        await asyncio.wait_for(used(), HANG_SECONDS)


async def test_a_bucket_that_refuses_what_sharing_needs_is_an_error_and_no_endless_wait(
    cloud: StandIns, store: RecordStore, quota: Quota
) -> None:
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.insert"])
    async with SharedQuota(store.bucket, quota) as shared:
        with pytest.raises(CloudRefused, match="genops/quotas/"):
            await shared.requests.take()


async def test_what_killed_processes_left_is_removed_by_others(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    monkeypatch.setattr(shared_quota, "TIDIED_BLOCKS", 1)
    old = quota_entry_path(quota.project, quota.location, quota.model, block_at(time.time()) - 50, "killed")
    store.bucket.blob(old).upload_from_string(b"")
    async with SharedQuota(store.bucket, quota) as shared:
        await shared.requests.take()
        await until_async(lambda: old not in left(store), what="the old entry is gone")
        assert left(store), "its own entries are still there"


def entered(store: RecordStore, quota: Quota, block: int, holder: str, **told: str) -> None:
    """Make the entry of another process."""
    blob = store.bucket.blob(quota_entry_path(quota.project, quota.location, quota.model, block, holder))
    blob.metadata = {key.replace("_", "-"): value for key, value in told.items()}
    blob.upload_from_string(b"")


async def test_a_dead_processes_entry_counts_in_its_block_and_no_longer(store: RecordStore, quota: Quota) -> None:
    now = block_at(time.time())
    for ahead in range(2, 8):
        entered(store, quota, now + ahead, "dead", requests_per_minute=str(PER_MINUTE))
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while not [one for one in whole(found) if one.block > now + 7 and one.requests == one.requests_of_all]:
            await shared.requests.take()
    beside = [share for share in whole(found) if now + 2 <= share.block <= now + 7]
    assert beside
    assert max(share.requests - share.requests_of_all // 2 for share in beside) in {0, 1}


async def test_an_entry_that_others_may_not_have_seen_is_not_used(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    monkeypatch.setattr(shared_quota, "settles_at", lambda _: 0.0)  # every answer comes too late
    now = block_at(time.time())
    for ahead in (2, 3):
        entered(store, quota, now + ahead, "other", requests_per_minute=str(PER_MINUTE))
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while not found or found[-1].block <= now + 3:
            await shared.requests.take()
    assert not [share for share in found if now + 2 <= share.block <= now + 3], "the other may have all"
    assert not whole(found)
    assert {share.block for share in found} & {now, now + 1, now + 4}, "of what nobody has entered, pieces are taken"


async def test_an_entry_that_is_there_and_cannot_be_read_costs_its_block_and_the_quota_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cloud: StandIns, store: RecordStore, quota: Quota
) -> None:
    unread = []

    def gone(blob: Blob, **_: Any) -> None:
        unread.append(blob.name)
        raise NotFound("gone")

    monkeypatch.setattr(Blob, "reload", gone)
    cloud.storage.faults(lose_answers=1.0, error_methods=["objects.insert"])
    async with SharedQuota(store.bucket, quota) as shared:
        asking = asyncio.create_task(shared.requests.take())
        await until_async(lambda: bool(unread), what="an object of its own is there and cannot be read")
        cloud.storage.faults()
        await asyncio.wait_for(asking, HANG_SECONDS)
    assert "No share of the quota of gemini-2.5-flash can be had now" in caplog.text


async def test_objects_that_are_none_of_ours_have_no_share(store: RecordStore, quota: Quota) -> None:
    for ahead in range(1, 12):
        told = {"requests_per_minute": "9" * 5000 if ahead == 1 else "many"}
        for name in ("stranger", "piece-", "piece-one", f"piece-{'9' * 400}", "clock-"):
            entered(store, quota, block_at(time.time()) + ahead, name, **told)
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while not [one for one in whole(found) if one.requests == one.requests_of_all and one.holders == 2]:
            await shared.requests.take()


async def test_tokens_are_shared_as_calls_are(store: RecordStore, quota: Quota) -> None:
    both = Quota(quota.project, quota.location, quota.model, 6000, 120_000)
    found: list[Share] = []
    async with SharedQuota(store.bucket, both, on_share=found.append) as shared:
        assert shared.tokens is not None
        await asyncio.gather(shared.requests.take(), shared.tokens.take(500))
        assert shared.tokens.used == 500
        while not [one for one in whole(found) if one.tokens == permits_of(120_000, one.block)]:
            await asyncio.gather(shared.requests.take(), shared.tokens.take(400))
    assert found[0].tokens == pytest.approx(permits_of(120_000, found[0].block) / PIECES, rel=0.02)


async def test_a_piece_that_is_over_when_the_claim_is_answered_is_made_up_for_by_the_next(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    claim, late = QuotaObjects.claim, []

    def slow_once(objects: QuotaObjects, block: int, piece: int) -> StoreClock | None:
        had = claim(objects, block, piece)
        if not late:
            late.append(piece)
            time.sleep(2 * PIECE_SECONDS)
        return had

    monkeypatch.setattr(QuotaObjects, "claim", slow_once)
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        await shared.requests.take()
        assert late
        assert [one.piece is not None for one in found] == [True, True], "not only with the next block"


async def test_a_store_that_was_slow_when_a_run_began_does_not_keep_it_out(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    clock, readings = QuotaObjects.clock, []

    def slow(objects: QuotaObjects, block: int, reading: int) -> StoreClock:
        readings.append(reading)
        return replace(found := clock(objects, block, reading), asked_at=found.asked_at - 2 * BLOCK_SECONDS)

    monkeypatch.setattr(QuotaObjects, "clock", slow)
    async with SharedQuota(store.bucket, quota) as shared:
        await shared.requests.take()
    assert len(readings) == len(set(readings)) == shared_quota.CLOCK_READINGS, "it looks again, a few times"


async def test_with_a_store_that_is_always_slow_calls_begin_all_the_same(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    upload = Blob.upload_from_string

    def slow(blob: Blob, *args: Any, **given: Any) -> None:
        time.sleep(2.0)
        upload(blob, *args, **given)

    monkeypatch.setattr(Blob, "upload_from_string", slow)
    async with SharedQuota(store.bucket, quota) as shared:
        await shared.requests.take()


async def test_a_piece_that_is_asked_for_too_often_at_once_is_another_processes(
    cloud: StandIns, store: RecordStore, quota: Quota
) -> None:
    block = block_at(time.time())
    cloud.storage.faults(error_code="429", error_share=1.0, error_methods=["objects.insert"])
    assert QuotaObjects(store.bucket, quota, "me").claim(block, 3) is None


async def test_a_moments_outage_after_a_long_wait_is_none_of_minutes(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    now, asked = 1000.0, []
    monkeypatch.setattr(shared_quota, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    shared = SharedQuota(store.bucket, quota)

    async def contended_for_an_hour() -> None:
        nonlocal now
        asked.append(now)
        if len(asked) > 2:
            await asyncio.Event().wait()
        now += 1
        shared._is_well()
        now += 3600
        raise CloudUnavailable("away for a moment")

    needed = asyncio.Event()
    needed.set()
    keeping = asyncio.create_task(shared._keep_on(needed, contended_for_an_hour))
    waiting = asyncio.create_task(shared.requests.take())
    await until_async(lambda: len(asked) == 3, what="it is tried again, twice")
    assert not waiting.done(), "the call was not given up"
    for task in (keeping, waiting):
        task.cancel()


async def test_runs_that_leave_amid_a_block_leave_no_more_than_others_remove(store: RecordStore, quota: Quota) -> None:
    block = block_at(time.time()) - 50
    for number in range(REMOVED_AT_ONCE + 20):
        entered(store, quota, block, f"left-{number:03}")
    QuotaObjects(store.bucket, quota, "me").remove_before(block + 1)
    assert left(store) == []
