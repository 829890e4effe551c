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
from genops_events.gemini.quota_shares import block_at, permits_of
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
    print(json.dumps([share.block, share.requests, share.requests_of_all, share.holders]), flush=True)

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
        self.shares: list[tuple[int, int, int, int]] = []
        """Block, permits of this process, permits of all, holders."""
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
        return sum(1 for *_, count in self.shares if count == holders)

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
    """Return by block the permits of each process, and what there was for all."""
    found = defaultdict(list)
    for one in holders:
        for block, permits, of_all, _ in one.shares:
            found[block].append((permits, of_all))
    return found


def left(store: RecordStore) -> list[str]:
    return store.names(QUOTAS)


async def shared_by(store: RecordStore, quota: Quota, *, blocks: int = 1) -> list[Share]:
    """Take all permits that come until so many shares were given, and return these."""
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while len(found) < blocks:
            await shared.requests.take()
    return found


def test_processes_share_one_quota_and_a_killed_ones_share_goes_to_the_others(
    holder: Callable[[], Holder], store: RecordStore
) -> None:
    holders = [holder() for _ in range(3)]
    until(lambda: all(one.had(holders=3) >= 2 for one in holders), what="three share")
    late = holder()
    until(lambda: late.had(holders=4) >= 2, what="a fourth has its share, too")
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
    full = [shares for shares in blocks.values() if len(shares) == 4]
    assert full
    for shares in full:
        permits = [mine for mine, _ in shares]
        assert sum(permits) == shares[0][1], "four shares are the whole"
        assert max(permits) - min(permits) <= 1
    assert all("/" in name for name in left(store))  # of the killed one alone, and only of its last blocks
    assert len({name.rpartition("/")[2] for name in left(store)}) <= 1


def test_a_stopped_process_uses_nothing_of_blocks_that_have_passed(
    holder: Callable[[], Holder], store: RecordStore
) -> None:
    stopped, other = holder(), holder()
    until(lambda: other.had(holders=2) >= 1 and stopped.had(holders=2) >= 1, what="two share")
    stopped.process.send_signal(signal.SIGSTOP)
    until(lambda: other.had(holders=1) >= 2, what="the other has all")
    alone = {block for block, *_, count in other.shares if count == 1}
    stopped.process.send_signal(signal.SIGCONT)
    seen = len(stopped.shares)
    until(lambda: len(stopped.shares) >= seen + 2, what="it has shares again")
    for block, shares in given([stopped, other]).items():
        assert sum(permits for permits, _ in shares) <= shares[0][1], f"block {block}, {block in alone=}"


async def test_alone_it_has_the_whole_quota_at_once_and_leaves_nothing_behind(store: RecordStore, quota: Quota) -> None:
    first, second = await shared_by(store, quota, blocks=2)
    assert second.block == first.block + 1
    for share in (first, second):
        assert share.requests == share.requests_of_all == permits_of(quota.requests_per_minute, share.block)
    assert left(store) == []


async def test_a_machines_wrong_clock_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() - 86_400)
    [share, *_] = await shared_by(store, quota)
    assert share.block >= block_at(right()) - 100
    assert left(store) == [], "the entry for the wrong block is gone, too"


async def test_lost_answers_neither_lose_nor_double_a_share(cloud: StandIns, store: RecordStore, quota: Quota) -> None:
    cloud.storage.faults(lose_answers=0.5, error_methods=["objects.insert"])
    found = await shared_by(store, quota, blocks=3)
    assert len({share.block for share in found}) == len(found), "no block is handed out twice"
    assert all(share.requests == share.requests_of_all for share in found)


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
    for ahead in (2, 3):
        entered(store, quota, now + ahead, "dead", requests_per_minute=str(PER_MINUTE))
    found: list[Share] = []
    async with SharedQuota(store.bucket, quota, on_share=found.append) as shared:
        while not found or found[-1].block <= now + 3:
            await shared.requests.take()
    for share in found:
        parts = 2 if now + 2 <= share.block <= now + 3 else 1
        assert share.requests - share.requests_of_all // parts in {0, 1}, share


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
    assert all(share.requests == share.requests_of_all for share in found), "what nobody has entered is claimed"


async def test_who_leaves_before_its_claim_is_read_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, store: RecordStore, quota: Quota
) -> None:
    monkeypatch.setattr(shared_quota, "settles_at", lambda _: 0.0)  # no entry is seen in time: blocks are claimed
    now, reload, gone = block_at(time.time()), Blob.reload, []
    for ahead in range(5):
        entered(store, quota, now + ahead, "first")

    def leave_and_reload(blob: Blob, **given: Any) -> None:
        if blob.name.endswith("/first") and not gone:
            gone.append(blob.name)
            store.bucket.blob(blob.name).delete()
        reload(blob, **given)

    monkeypatch.setattr(Blob, "reload", leave_and_reload)
    [share] = await shared_by(store, quota)
    assert gone, "a claim was removed between the two calls"
    assert share.requests == share.requests_of_all, "whoever leaves has no use for the rest of the block"


async def test_a_claim_that_is_there_and_cannot_be_read_is_tried_a_few_times_and_the_quota_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, store: RecordStore, quota: Quota
) -> None:
    monkeypatch.setattr(shared_quota, "settles_at", lambda _: 0.0)  # no entry is seen in time: blocks are claimed
    now, reload, unread = block_at(time.time()), Blob.reload, []
    for ahead in range(3):
        entered(store, quota, now + ahead, "first")

    def seldom_there(blob: Blob, **given: Any) -> None:
        if blob.name.endswith("/first") and len(unread) < shared_quota.CREATE_TRIES:
            unread.append(blob.name)
            raise NotFound("gone")
        reload(blob, **given)

    monkeypatch.setattr(Blob, "reload", seldom_there)
    [share] = await shared_by(store, quota)
    assert len(unread) == shared_quota.CREATE_TRIES
    assert "No share of the quota of gemini-2.5-flash can be had now" in caplog.text
    assert share.requests == share.requests_of_all


async def test_entries_that_are_none_of_ours_have_no_share(store: RecordStore, quota: Quota) -> None:
    for ahead in range(1, 4):
        name = quota_entry_path(quota.project, quota.location, quota.model, block_at(time.time()) + ahead, "stranger")
        blob = store.bucket.blob(name)
        blob.metadata = {"requests-per-minute": "9" * 5000 if ahead == 1 else "many"}
        blob.upload_from_string(b"?")
    found = await shared_by(store, quota, blocks=2)
    assert all(share.requests == share.requests_of_all for share in found if share.holders > 1)


async def test_tokens_are_shared_as_calls_are(store: RecordStore, quota: Quota) -> None:
    both = Quota(quota.project, quota.location, quota.model, 6000, 120_000)
    found: list[Share] = []
    async with SharedQuota(store.bucket, both, on_share=found.append) as shared:
        assert shared.tokens is not None
        await asyncio.gather(shared.requests.take(), shared.tokens.take(500))
        assert shared.tokens.used == 500
    assert found[0].tokens == permits_of(120_000, found[0].block)
