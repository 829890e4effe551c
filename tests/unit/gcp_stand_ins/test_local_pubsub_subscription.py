"""Who waits for a subscription's messages, in the moment in which the wait ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import HANG_SECONDS

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.delivery import Consumer, StoredMessage
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch
from gcp_stand_ins.pubsub.journal import Journal
from gcp_stand_ins.pubsub.store import MessageStore
from gcp_stand_ins.pubsub.subscription import Subscription


def never(*arguments: object) -> bool:
    raise AssertionError(arguments)


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[Subscription]:
    journal = Journal(tmp_path / "journal", never)
    yield Subscription(
        uid=1,
        resource=wire.Subscription(name="projects/p/subscriptions/s"),
        store=MessageStore(journal),
        faults=PubSubFaultSwitch(tmp_path / "faults.json"),
        dead_letter=never,
    )
    journal.close()


@pytest.mark.parametrize("turns", [1, 2], ids=["a moment before the end of the wait", "a moment after it"])
@pytest.mark.parametrize("comes", [True, False], ids=["a message", "nothing for it"])
async def test_a_call_that_is_woken_in_the_moment_it_gives_up_gets_what_came(
    subscription: Subscription, turns: int, *, comes: bool
) -> None:
    waiting = asyncio.create_task(subscription.readable(Consumer(), until=0.0))  # it ends in the turn after it began
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not waiting.done()
    if comes:
        subscription.accept(StoredMessage(1, 0.0, wire.PubsubMessage(data=b"1"), 1))
    subscription.wake()
    assert await waiting is comes


async def test_all_who_wait_are_woken_longest_waiting_first(subscription: Subscription) -> None:
    woken: list[int] = []

    async def wait(number: int) -> None:
        await subscription.readable(Consumer(), until=None)
        woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    subscription.accept(StoredMessage(1, 0.0, wire.PubsubMessage(data=b"1"), 1))
    assert woken == []
    subscription.wake()
    async with asyncio.timeout(HANG_SECONDS):
        await asyncio.gather(*tasks)
    assert woken == [0, 1, 2, 3, 4]
