"""What a subscription can be told: filters, retry and dead-letter policies, replay, exactly-once delivery."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeStatus
from google.cloud.pubsub_v1.subscriber.message import Message
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types
from pubsub_stand_in import MakePair, Pair, data_of, fresh, stand_in_only
from waiting import HANG_SECONDS


@stand_in_only("Google's emulator does not filter")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("attributes:kind", ["a", "b"]),
        ('attributes.kind = "OBJECT_FINALIZE"', ["a"]),
        ('attributes.kind != "OBJECT_FINALIZE"', ["b", "c"]),
        ('hasPrefix(attributes.kind, "OBJECT_")', ["a", "b"]),
        ('attributes:kind AND NOT attributes.kind = "OBJECT_DELETE"', ["a"]),
        ('attributes.lang = "en" OR (attributes:kind AND attributes.kind != "OBJECT_DELETE")', ["a", "c"]),
    ],
)
def test_filter_lets_through_what_it_says(make_pair: MakePair, text: str, expected: list[str]) -> None:
    pair = make_pair(filter=text)
    pair.publish("a", kind="OBJECT_FINALIZE")
    pair.publish("b", kind="OBJECT_DELETE")
    pair.publish("c", lang="en")
    assert sorted(data_of(pair.pull_all(len(expected)))) == expected
    assert pair.pull_for(0.5) == []


@stand_in_only("Google's emulator applies no retry policy")
def test_refused_message_rests_for_the_backoff(make_pair: MakePair) -> None:
    pair = make_pair(
        retry_policy={"minimum_backoff": Duration(seconds=1), "maximum_backoff": Duration(seconds=2)},
        enable_message_ordering=True,
    )
    pair.publish("single")
    pair.publish_in_order("k", "first", "second")
    received = pair.pull_all(3)
    started = time.monotonic()
    pair.nack(received)
    assert pair.pull_for(0.6) == []
    again = data_of(pair.pull_all(3))
    assert time.monotonic() - started > 0.9
    assert sorted(again) == ["first", "second", "single"]
    assert again.index("first") < again.index("second")


def with_dead_letters(publisher: PublisherClient, make_pair: MakePair, **settings: object) -> tuple[Pair, Pair]:
    topic = fresh("topics")
    publisher.create_topic(name=topic)
    policy = {"dead_letter_topic": topic, "max_delivery_attempts": 5}
    return make_pair(dead_letter_policy=policy, **settings), make_pair(topic=topic)


def test_message_goes_to_the_dead_letter_topic_after_its_attempts(
    publisher: PublisherClient, make_pair: MakePair
) -> None:
    pair, dead = with_dead_letters(publisher, make_pair)
    pair.publish("poison", origin="here")
    attempts = []
    for _ in range(5):
        received = pair.pull_all(1)
        attempts.append(received[0].delivery_attempt)
        published = received[0].message.publish_time
        pair.nack(received)
    assert attempts == [1, 2, 3, 4, 5]
    assert pair.pull_for(1) == []
    (forwarded,) = dead.pull_all(1)
    assert forwarded.message.data == b"poison"
    attributes = dict(forwarded.message.attributes)
    assert attributes["origin"] == "here"
    assert attributes["CloudPubSubDeadLetterSourceSubscription"] == pair.subscription.split("/")[-1]
    assert attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] == pair.subscription.split("/")[1]
    assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    stated = datetime.fromisoformat(attributes["CloudPubSubDeadLetterSourceTopicPublishTime"])
    assert abs(stated - published) < timedelta(milliseconds=2)


@stand_in_only("Google's emulator holds the later messages of the key back")
def test_dead_letter_of_a_key_lets_the_later_messages_pass(publisher: PublisherClient, make_pair: MakePair) -> None:
    pair, dead = with_dead_letters(publisher, make_pair, enable_message_ordering=True)
    pair.publish_in_order("k", "poison", "good")
    for _ in range(5):
        pair.nack(pair.pull_all(2)[:1])
    (good,) = pair.pull_all(1)
    assert (good.message.data, good.delivery_attempt) == (b"good", 1)
    assert [one.message.ordering_key for one in dead.pull_all(1)] == ["k"]


def test_message_is_kept_while_its_dead_letter_topic_is_gone(publisher: PublisherClient, make_pair: MakePair) -> None:
    pair, dead = with_dead_letters(publisher, make_pair)
    publisher.delete_topic(topic=dead.topic)
    pair.publish("poison")
    for _ in range(7):
        received = pair.pull_all(1)
        pair.nack(received)
    assert received[0].delivery_attempt == 7


def test_dead_letter_policy_can_be_taken_away(publisher: PublisherClient, make_pair: MakePair) -> None:
    pair, _ = with_dead_letters(publisher, make_pair)
    pair.subscriber.update_subscription(
        subscription=types.Subscription(name=pair.subscription), update_mask=FieldMask(paths=["dead_letter_policy"])
    )
    pair.publish("a")
    assert [one.delivery_attempt for one in pair.pull_all(1)] == [0]


def test_seek_to_the_past_brings_retained_messages_back(make_pair: MakePair) -> None:
    pair = make_pair(retain_acked_messages=True)
    start = datetime.now(UTC) - timedelta(seconds=1)
    pair.publish("a", "b")
    pair.acknowledge(pair.pull_all(2))
    assert pair.pull_for(0.5) == []
    pair.subscriber.seek(request={"subscription": pair.subscription, "time": start})
    assert sorted(data_of(pair.pull_all(2))) == ["a", "b"]


def test_seek_to_the_future_acknowledges_everything(pair: Pair) -> None:
    pair.publish("a", "b")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    pair.subscriber.seek(request={"subscription": pair.subscription, "time": soon})
    assert pair.pull_for(0.5) == []
    pair.publish("c")
    assert data_of(pair.pull_all(1)) == ["c"]


@stand_in_only("Google's emulator gives a new subscription at once what its topic retains, and does not filter")
def test_new_subscription_can_go_back_to_what_its_topic_retains(
    publisher: PublisherClient, make_pair: MakePair
) -> None:
    topic = fresh("topics")
    publisher.create_topic(request={"name": topic, "message_retention_duration": Duration(seconds=600)})
    early = make_pair(topic=topic)
    start = datetime.now(UTC) - timedelta(seconds=1)
    early.publish("a", wanted="yes")
    early.publish("b")
    early.acknowledge(early.pull_all(2))
    late = make_pair(topic=topic, filter="attributes:wanted")
    assert late.pull_for(0.3) == []
    late.subscriber.seek(request={"subscription": late.subscription, "time": start})
    assert data_of(late.pull_all(1)) == ["a"]
    kept = late.subscriber.get_subscription(subscription=late.subscription)
    assert kept.topic_message_retention_duration.total_seconds() == 600


def test_seek_to_a_snapshot_brings_back_what_it_held_and_what_came_since(pair: Pair) -> None:
    snapshot = fresh("snapshots")
    pair.publish("done")
    pair.acknowledge(pair.pull_all(1))
    pair.publish("open")
    pair.subscriber.create_snapshot(name=snapshot, subscription=pair.subscription)
    pair.publish("since")
    pair.acknowledge(pair.pull_all(2))
    pair.subscriber.seek(request={"subscription": pair.subscription, "snapshot": snapshot})
    assert sorted(data_of(pair.pull_all(2))) == ["open", "since"]
    pair.subscriber.delete_snapshot(snapshot=snapshot)
    with pytest.raises(exceptions.NotFound):
        pair.subscriber.seek(request={"subscription": pair.subscription, "snapshot": snapshot})


@stand_in_only("Google's emulator forgets the labels of a snapshot")
def test_snapshots_are_listed(pair: Pair) -> None:
    snapshot = fresh("snapshots")
    pair.subscriber.create_snapshot(request={"name": snapshot, "subscription": pair.subscription, "labels": {"a": "b"}})
    project = "/".join(snapshot.split("/")[:2])
    assert snapshot in [one.name for one in pair.subscriber.list_snapshots(project=project)]
    assert list(pair.publisher.list_topic_snapshots(topic=pair.topic)) == [snapshot]
    assert dict(pair.subscriber.get_snapshot(snapshot=snapshot).labels) == {"a": "b"}
    with pytest.raises(exceptions.AlreadyExists):
        pair.subscriber.create_snapshot(name=snapshot, subscription=pair.subscription)


def test_exactly_once_acknowledgement_is_confirmed(make_pair: MakePair) -> None:
    pair = make_pair(enable_exactly_once_delivery=True)
    pair.publish("a")
    outcomes = []
    done = threading.Event()

    def callback(message: Message) -> None:
        outcomes.append(message.ack_with_response().result(timeout=HANG_SECONDS))
        done.set()

    future = pair.subscriber.subscribe(pair.subscription, callback)
    assert done.wait(HANG_SECONDS)
    future.cancel()
    future.result(timeout=HANG_SECONDS)
    assert outcomes == [AcknowledgeStatus.SUCCESS]


def test_exactly_once_refuses_an_acknowledgement_after_the_lease(make_pair: MakePair) -> None:
    pair = make_pair(enable_exactly_once_delivery=True)
    pair.publish("a")
    received = pair.pull_all(1)
    pair.set_deadline(received, 0)
    with pytest.raises(exceptions.InvalidArgument) as refused:
        pair.acknowledge(received)
    assert refused.value.reason == "EXACTLY_ONCE_ACKID_FAILURE"
    assert refused.value.metadata == {received[0].ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}
