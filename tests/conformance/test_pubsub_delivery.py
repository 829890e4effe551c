"""Messages: each reaches every subscription at least once, in order where order is promised, until acknowledged."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import defaultdict

import google.pubsub_v1
import grpc
import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.pubsub_v1.types import BatchSettings, FlowControl, PublisherOptions
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from pubsub_stand_in import MakePair, Pair, Service, Stream, data_of, stand_in_only
from waiting import HANG_SECONDS, until

LONGEST_DEADLINE_SECONDS = 600
"""Of a lease, at Google: in a test, what waits for its end hangs."""
SHORT_PULL_SECONDS = 5.0


def test_message_arrives_as_it_was_published(pair: Pair) -> None:
    before = time.time()
    (message_id,) = pair.publish("hello", kind="greeting", lang="en")
    (received,) = pair.pull()
    message = received.message
    assert (message.data, dict(message.attributes)) == (b"hello", {"kind": "greeting", "lang": "en"})
    assert message.message_id == message_id
    assert before - 1 < message.publish_time.timestamp() < time.time() + 1, "published now"
    assert received.delivery_attempt == 0


def test_batch_gets_one_id_for_each_message(pair: Pair) -> None:
    ids = pair.publish_batch([{"data": str(number).encode()} for number in range(500)])
    assert len(set(ids)) == 500
    by_id = {one.message.message_id: one.message.data for one in pair.pull_all(500)}
    assert [by_id[one] for one in ids] == [str(number).encode() for number in range(500)]


def test_message_of_attributes_only_arrives(pair: Pair) -> None:
    pair.publish("", only="attributes")
    assert [dict(one.message.attributes) for one in pair.pull()] == [{"only": "attributes"}]


def test_large_message_arrives(pair: Pair) -> None:
    # Below 4 MB: with PUBSUB_EMULATOR_HOST set, Google's clients keep gRPC's default limit for what they receive.
    pair.publish("x" * 3_000_000)
    assert len(pair.pull()[0].message.data) == 3_000_000


def test_every_subscription_gets_every_message(make_pair: MakePair) -> None:
    one = make_pair()
    other = make_pair(topic=one.topic)
    one.publish("a", "b")
    assert sorted(data_of(one.pull_all(2))) == sorted(data_of(other.pull_all(2))) == ["a", "b"]


def test_acknowledged_message_does_not_come_back(pair: Pair) -> None:
    pair.publish("a", "b")
    received = pair.pull_all(2)
    pair.set_deadline(received, 1)
    pair.acknowledge(received)
    assert pair.pull_for(2.5) == []


def test_acknowledging_twice_is_no_error(pair: Pair) -> None:
    pair.publish("a")
    received = pair.pull()
    pair.acknowledge(received)
    pair.acknowledge(received)


def test_refused_message_comes_back_before_its_deadline(make_pair: MakePair) -> None:
    pair = make_pair(ack_deadline_seconds=LONGEST_DEADLINE_SECONDS)
    (message_id,) = pair.publish("a")
    received = pair.pull()
    pair.nack(received)
    (again,) = pair.pull()
    assert again.message.message_id == message_id
    assert again.ack_id != received[0].ack_id


def test_message_comes_back_after_its_deadline_and_not_before(pair: Pair) -> None:
    pair.publish("a")
    received = pair.pull()
    started = time.monotonic()
    pair.set_deadline(received, 2)
    assert len(pair.pull_all(1)) == 1
    assert time.monotonic() - started > 1.5


def test_extended_lease_holds(pair: Pair) -> None:
    pair.publish("a")
    received = pair.pull()
    pair.set_deadline(received, 1)
    pair.set_deadline(received, 30)
    assert pair.pull_for(2.5) == []


def test_pull_that_waits_is_answered_when_a_message_comes(pair: Pair) -> None:
    later = threading.Timer(0.5, pair.publish, ["a"])
    later.start()
    # One call: if nobody woke it, it would be answered without a message.
    received = pair.pull_for(HANG_SECONDS)
    later.join()
    assert data_of(received) == ["a"]


@stand_in_only("Google's emulator lets the deadline pass instead")
def test_empty_pull_is_answered_shortly_before_the_deadline_of_the_client(pair: Pair) -> None:
    started: list[float] = []

    def answered() -> bool:
        started[:] = [time.monotonic()]
        try:
            response = pair.subscriber.pull(
                subscription=pair.subscription, max_messages=1, timeout=SHORT_PULL_SECONDS, retry=None
            )
        except exceptions.DeadlineExceeded:  # a machine that is too busy for the last tenth of the time
            return False
        assert not response.received_messages
        return True

    until(answered, what="an answer in place of a passed deadline")
    assert time.monotonic() - started[0] > SHORT_PULL_SECONDS * 0.8


@pytest.mark.filterwarnings("ignore:The return_immediately flag is deprecated")
def test_return_immediately_does_not_wait(pair: Pair) -> None:
    request = {"subscription": pair.subscription, "max_messages": 1}

    def overtakes() -> bool:
        """Return whether it is answered while another pull, begun before, still waits for half a minute."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            waits = threads.submit(pair.subscriber.pull, request=request, timeout=HANG_SECONDS)
            pair.subscriber.get_subscription(subscription=pair.subscription)
            asked = pair.subscriber.pull(request={**request, "return_immediately": True}, timeout=HANG_SECONDS)
            waited = not waits.done()
            pair.publish("ends the wait")
            assert not asked.received_messages
            return waited

    until(overtakes, what="an answer at once")


async def test_asynchronous_subscriber_waits_and_acknowledges(service: Service, pair: Pair) -> None:
    channel = grpc.aio.insecure_channel(service.address)
    client = google.pubsub_v1.SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
    waiting = asyncio.ensure_future(client.pull(subscription=pair.subscription, max_messages=10, timeout=HANG_SECONDS))
    await asyncio.to_thread(pair.publish, "a")
    response = await waiting
    assert data_of(list(response.received_messages)) == ["a"]
    await client.acknowledge(subscription=pair.subscription, ack_ids=[one.ack_id for one in response.received_messages])
    await channel.close()


def collect(pair: Pair, count: int, *, max_messages: int = 1000, refuse: int = 0) -> list[tuple[str, str]]:
    """Return (ordering key, data) of what a streaming subscriber gets until `count` messages are acknowledged."""
    seen: list[tuple[str, str]] = []
    acknowledged: set[str] = set()
    done = threading.Event()
    refused: set[str] = set()

    def callback(message: Message) -> None:
        seen.append((message.ordering_key, message.data.decode()))
        if len(refused) < refuse and message.message_id not in refused:
            refused.add(message.message_id)
            message.nack()
            return
        acknowledged.add(message.message_id)
        message.ack()
        if len(acknowledged) == count:
            done.set()

    flow = FlowControl(max_messages=max_messages)
    future = pair.subscriber.subscribe(pair.subscription, callback, flow_control=flow)
    try:
        assert done.wait(HANG_SECONDS), f"only {len(acknowledged)} of {count} messages"
    finally:
        future.cancel()
        future.result(timeout=HANG_SECONDS)
    return seen


def test_streaming_subscriber_gets_each_message_once(pair: Pair) -> None:
    pair.publish_batch([{"data": str(number).encode()} for number in range(1000)])
    pair.publish_batch([{"data": str(number).encode()} for number in range(1000, 2000)])
    seen = collect(pair, 2000)
    assert sorted(int(data) for _, data in seen) == list(range(2000))


def test_acknowledgement_makes_room_in_a_full_stream(make_pair: MakePair) -> None:
    pair = make_pair(ack_deadline_seconds=LONGEST_DEADLINE_SECONDS)
    pair.publish_batch([{"data": str(number).encode()} for number in range(100)])
    # One at a time: each acknowledgement, a unary call, has to wake the stream, or it hangs.
    assert len(collect(pair, 100, max_messages=1)) == 100


def test_refused_messages_come_back_on_the_stream(pair: Pair) -> None:
    pair.publish_batch([{"data": str(number).encode()} for number in range(50)])
    seen = collect(pair, 50, refuse=10)
    assert len(seen) == 60
    assert len(set(seen)) == 50


@stand_in_only("Google's emulator ignores flow control")
@pytest.mark.parametrize("limit", [{"max_outstanding_messages": 3}, {"max_outstanding_bytes": 3 * 100_000}])
def test_stream_holds_no_more_than_its_flow_control_allows(pair: Pair, limit: dict[str, int]) -> None:
    pair.publish_batch([{"data": b"x" * 100_000} for _ in range(9)])
    stream = Stream(pair, **limit)
    until(lambda: len(stream.received) == 3)
    assert pair.pull(max_messages=1), "the others are free for somebody else"
    assert len(stream.received) == 3
    stream.send(ack_ids=[stream.received[0].ack_id])
    until(lambda: len(stream.received) == 4)
    first = stream.received[1]
    stream.send(modify_deadline_ack_ids=[first.ack_id], modify_deadline_seconds=[0])
    until(lambda: [one.message.message_id for one in stream.received].count(first.message.message_id) == 2)
    stream.close()


def test_two_streams_share_a_subscription(service: Service, pair: Pair) -> None:
    streams = [Stream(pair), Stream(pair)]
    for _ in range(40):
        pair.publish_batch([{"data": b"x"}])
    until(lambda: sum(len(stream.received) for stream in streams) == 40)
    for stream in streams:
        stream.close()
    assert len({one.message.message_id for stream in streams for one in stream.received}) == 40
    if service.name == "stand-in":  # Google's emulator may give everything to one
        assert all(stream.received for stream in streams)


def test_ordering_keys_arrive_in_order_through_google_clients(make_pair: MakePair) -> None:
    pair = make_pair(enable_message_ordering=True)
    ordered = PublisherClient(
        batch_settings=BatchSettings(max_messages=20, max_latency=0.01),
        publisher_options=PublisherOptions(enable_message_ordering=True),
    )
    published = [
        ordered.publish(pair.topic, str(number).encode(), ordering_key=f"key-{number % 7}") for number in range(350)
    ]
    ids = [future.result(timeout=HANG_SECONDS) for future in published]
    assert len(set(ids)) == 350
    by_key = defaultdict(list)
    for key, data in collect(pair, 350):
        by_key[key].append(int(data))
    ordered.stop()
    ordered.transport.close()
    assert dict(by_key) == {f"key-{key}": list(range(key, 350, 7)) for key in range(7)}


@stand_in_only("Google's emulator redelivers the refused message after the later ones")
def test_redelivery_of_a_key_redelivers_its_later_messages(make_pair: MakePair) -> None:
    pair = make_pair(enable_message_ordering=True)
    pair.publish_in_order("k", "1", "2", "3", "4")
    received = pair.pull_all(4)
    assert data_of(received) == ["1", "2", "3", "4"]
    pair.acknowledge(received[:1])
    pair.nack(received[1:2])
    assert data_of(pair.pull_all(3)) == ["2", "3", "4"]


def test_refused_message_of_a_key_comes_back_before_later_ones_on_the_stream(make_pair: MakePair) -> None:
    pair = make_pair(enable_message_ordering=True)
    pair.publish_in_order("k", *(str(number) for number in range(20)))
    seen = [int(data) for _, data in collect(pair, 20, refuse=1)]
    assert seen[:2] == [0, 0] or seen.index(0, 1) > 0
    last_pass = seen[len(seen) - 1 - seen[::-1].index(0) :]
    assert last_pass == sorted(last_pass), "after the redelivery of 0, everything later follows in order"
    assert set(seen) == set(range(20))


def test_key_with_an_unacknowledged_message_waits_while_others_go_on(make_pair: MakePair) -> None:
    pair = make_pair(enable_message_ordering=True)
    pair.publish_in_order("slow", "slow-1", "slow-2")
    (first,) = pair.pull(max_messages=1)
    assert first.message.data == b"slow-1"
    pair.publish_in_order("quick", "quick-1")
    assert data_of(pair.pull_all(1)) == ["quick-1"]
    assert pair.pull_for(1.5) == []
    pair.acknowledge([first])
    assert data_of(pair.pull()) == ["slow-2"]
