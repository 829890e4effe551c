"""Leases of arrivals: kept while Airflow stores, lost without harm when the process stood still, never a reason to end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter

import pytest
from cloud import StandIns
from triggerer import Arrivals, Settled, running, watched
from waiting import HANG_SECONDS, until_async

from genops_events.intake import leases, subscription


async def test_a_slow_confirmation_is_not_delivered_to_another_subscriber_even_if_extending_fails_for_a_while(
    cloud: StandIns, arrivals: Arrivals, settled: Settled
) -> None:
    arrivals.set_ack_deadline(10)
    await asyncio.to_thread(
        cloud.pubsub.faults, error_code="UNAVAILABLE", error_share=1.0, error_methods=["ModifyAckDeadline"]
    )
    async with running() as triggerer:
        ids = arrivals.announce(*(watched(number) for number in range(3)))
        await until_async(lambda: len(triggerer.events) == 3)
        await asyncio.sleep(2)
        await asyncio.to_thread(cloud.pubsub.faults)
        # Another one looks for longer than the subscription's own leases last.
        for _ in range(11):
            assert await asyncio.to_thread(arrivals.pull, seconds=1.0) == []
        assert set(settled.pulled.values()) == {1}
        triggerer.confirm()
        await until_async(lambda: sorted(settled.acked) == sorted(ids))
        arrivals.give_back(triggerer.messages[0])
        assert await asyncio.to_thread(arrivals.pull, seconds=1.0) == []


async def test_leases_are_extended_again_and_again(
    arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 6)
    async with running() as triggerer:
        arrivals.announce(watched())
        await until_async(lambda: triggerer.events)
        # In hand for more than twice the lease, and nobody else gets it.
        for _ in range(14):
            assert await asyncio.to_thread(arrivals.pull, seconds=1.0) == []
        triggerer.confirm()
        await until_async(lambda: len(settled.acked) == 1)


async def test_a_message_that_is_held_too_long_is_let_go(
    arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 3)
    monkeypatch.setattr(leases, "LONGEST_HELD_SECONDS", 1.5)
    async with running() as triggerer:
        (message_id,) = arrivals.announce(watched())
        await until_async(lambda: triggerer.events)
        await until_async(lambda: settled.pulled[message_id] == 2)
        assert triggerer.objects == [watched()]


async def test_a_triggerer_that_stood_still_for_longer_than_its_leases_goes_on(
    arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2)
    monkeypatch.setattr(subscription, "PULL_SECONDS", 0.5)  # or its own open pull would get the message again
    arrivals.set_ack_deadline(10)
    async with running() as triggerer:
        (first,) = arrivals.announce(watched(1))
        await until_async(lambda: triggerer.events)
        await asyncio.sleep(0.3)  # its lease is the extended one now
        # As SIGSTOP does: nothing of this event loop moves. Meanwhile another subscriber gets the message, and acks it.
        (taken,) = arrivals.pull(seconds=30)
        assert taken.message.message_id == first
        arrivals.ack(taken)
        # Stored all the same, and acked too late: nobody minds, and nothing ends.
        triggerer.confirm()
        await until_async(lambda: settled.acked == [first])
        (second,) = arrivals.announce(watched(2))
        await until_async(lambda: watched(2) in triggerer.objects)
        triggerer.confirm()
        await until_async(lambda: settled.acked == [first, second])
    assert triggerer.objects == [watched(1), watched(2)]


async def test_what_a_watcher_held_when_it_was_moved_is_given_back_and_with_the_next_one(
    arrivals: Arrivals, settled: Settled
) -> None:
    names = [watched(number) for number in range(50)]
    async with running() as first:
        ids = arrivals.announce(*names)
        await until_async(lambda: len(first.events) == 50)
    assert sorted(settled.nacked) == sorted(ids), "not left to the end of its leases"
    async with running() as second:
        await until_async(lambda: set(second.objects) == set(names))


async def test_messages_that_come_twice_and_out_of_order_are_handed_out_once_and_settled_whole(
    cloud: StandIns, arrivals: Arrivals, settled: Settled
) -> None:
    await asyncio.to_thread(cloud.pubsub.faults, duplicate=1.0, reorder=True)
    ids = arrivals.announce(*(watched(number) for number in range(150)))
    async with running() as triggerer:
        while set(settled.acked) != set(ids):
            triggerer.assert_alive()
            triggerer.confirm()
            await asyncio.sleep(0.05)
    assert set(Counter(triggerer.objects).values()) == {1}
    assert settled.pulled.total() == 300


async def test_acks_that_are_forgotten_bring_the_message_again_until_one_counts(
    cloud: StandIns, arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1)
    await asyncio.to_thread(cloud.pubsub.faults, drop_acks=1.0)
    async with running() as triggerer:
        (message_id,) = arrivals.announce(watched())
        await until_async(lambda: triggerer.events)
        triggerer.confirm()
        await until_async(lambda: len(triggerer.events) == 2)
        await asyncio.to_thread(cloud.pubsub.faults)
        triggerer.confirm()
        await until_async(lambda: settled.acked == [message_id] * 2)
        assert await asyncio.to_thread(arrivals.pull, seconds=2.0) == []


async def test_a_third_of_all_calls_failing_loses_nothing_and_ends_nothing(
    cloud: StandIns, arrivals: Arrivals, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.arrival_stream.FIRST_BACK_OFF_SECONDS", 0.05)
    ids = arrivals.announce(*(watched(number) for number in range(300)))
    await asyncio.to_thread(cloud.pubsub.faults, error_code="UNAVAILABLE", error_share=0.33)
    async with running() as triggerer:
        while set(settled.acked) != set(ids):
            triggerer.assert_alive()
            triggerer.confirm()
            await asyncio.sleep(0.05)
    assert set(triggerer.objects) == {watched(number) for number in range(300)}


IMPORTS_OF_THE_EVENT_LOOP = """
import asyncio, sys, threading
from triggers.gcs_arrival import GCSArrivalTrigger


class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            print(name)


async def main():
    sys.meta_path.insert(0, Watch())
    producer = GCSArrivalTrigger.create_shared_stream_producer({})
    stream = producer.open_stream()
    await asyncio.wait_for(anext(stream), 60)
    await stream.aclose()
    await producer.aclose()


asyncio.run(main())
"""


def test_googles_clients_are_not_imported_in_the_event_loop(arrivals: Arrivals) -> None:
    arrivals.announce(watched())
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS_OF_THE_EVENT_LOOP],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [name for name in done.stdout.split() if name.startswith(("google", "grpc", "genops_events"))] == []
