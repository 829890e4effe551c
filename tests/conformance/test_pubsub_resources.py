"""Topics, subscriptions and snapshots: created, read, changed, listed, deleted, and refused as Google refuses them."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import SchemaServiceClient, types
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport
from pubsub_stand_in import MakePair, Pair, fresh, stand_in_only
from waiting import HANG_SECONDS


def test_topic_is_kept_with_its_labels(publisher: PublisherClient) -> None:
    name = fresh("topics")
    publisher.create_topic(request={"name": name, "labels": {"team": "a"}})
    kept = publisher.get_topic(topic=name)
    assert (kept.name, dict(kept.labels)) == (name, {"team": "a"})


def test_second_topic_of_the_same_name_already_exists(publisher: PublisherClient) -> None:
    name = fresh("topics")
    publisher.create_topic(name=name)
    with pytest.raises(exceptions.AlreadyExists):
        publisher.create_topic(name=name)


def test_second_subscription_of_the_same_name_already_exists(pair: Pair) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        pair.subscriber.create_subscription(name=pair.subscription, topic=pair.topic)


def test_what_is_not_there_is_not_found(publisher: PublisherClient, subscriber: SubscriberClient) -> None:
    topic, subscription = fresh("topics"), fresh("subscriptions")
    calls = [
        lambda: publisher.get_topic(topic=topic),
        lambda: publisher.delete_topic(topic=topic),
        lambda: publisher.publish(topic, b"x").result(timeout=HANG_SECONDS),
        lambda: subscriber.create_subscription(name=subscription, topic=topic),
        lambda: subscriber.get_subscription(subscription=subscription),
        lambda: subscriber.delete_subscription(subscription=subscription),
        lambda: subscriber.pull(subscription=subscription, max_messages=1),
        lambda: subscriber.acknowledge(subscription=subscription, ack_ids=["1-1-1"]),
        lambda: subscriber.subscribe(subscription, print).result(timeout=HANG_SECONDS),
    ]
    for call in calls:
        with pytest.raises(exceptions.NotFound):
            call()


@pytest.mark.parametrize("name", ["projects/p/topics/x", "projects/p/topics/1abc", "projects/p/topics/goog-x", "abc"])
def test_bad_topic_name_is_refused(publisher: PublisherClient, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        publisher.create_topic(name=name)


def test_bad_requests_are_invalid_arguments(pair: Pair) -> None:
    for messages in ([], [{}]):
        with pytest.raises(exceptions.InvalidArgument):
            pair.publish_batch(messages)
    with pytest.raises(exceptions.InvalidArgument):
        pair.subscriber.pull(subscription=pair.subscription, max_messages=0)
    with pytest.raises(exceptions.InvalidArgument):
        pair.subscriber.acknowledge(subscription=pair.subscription, ack_ids=["nonsense"])


def test_bad_settings_are_invalid_arguments(make_pair: MakePair) -> None:
    bad: list[dict[str, object]] = [
        {"ack_deadline_seconds": 601},
        {"ack_deadline_seconds": -1},
        {"message_retention_duration": Duration(seconds=60)},
        {"retry_policy": {"minimum_backoff": Duration(seconds=601)}},
    ]
    for settings in bad:
        with pytest.raises(exceptions.InvalidArgument):
            make_pair(**settings)


@stand_in_only("Google's emulator takes any attribute")
@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"": "x"}, "must not be empty"),
        ({"goog-id": "x"}, "not begin with goog"),
        ({"é" * 129: "x"}, 'The attribute "" .* a key that is too long. The length is 258 .* maximum allowed is 256'),
        ({"k": "é" * 513}, 'The attribute "k" .* a value that is too long. The length is 1026 .* allowed is 1024'),
        ({str(number): "x" for number in range(101)}, "101 attributes; at most 100"),
    ],
)
def test_attributes_beyond_the_limits_are_invalid_arguments(pair: Pair, attributes: dict[str, str], why: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=why):
        pair.publish_batch([{"attributes": {"fine": "x"}}, {"attributes": attributes}])


@stand_in_only("Google's emulator refuses other sizes")
def test_requests_beyond_the_limits_are_invalid_arguments_and_publish_nothing(pair: Pair) -> None:
    topic = types.PublishRequest.pb()(topic=pair.topic).ByteSize()
    largest = 10_000_000 - topic - 2 * 5  # a tag and four bytes of length, of the message and of its data
    for messages, why in (
        (
            [{"data": b"x" * (largest + 1)}],
            "request_size is too large. You passed 10000001 .* maximum value is 10000000",
        ),
        ([{"data": b"x"}] * 1001, "message_count is too large. You passed 1001 .* maximum value is 1000"),
        ([{"data": b"x", "ordering_key": "é" * 513}], "longer than 1024 bytes"),
    ):
        with pytest.raises(exceptions.InvalidArgument, match=why):
            pair.publish_batch(messages)
    whole = [f"{number}".encode() for number in range(1000)]
    pair.publish_batch([{"data": one} for one in whole])
    assert sorted(one.message.data for one in pair.pull_all(1000, acknowledge=True)) == sorted(whole)
    # Not pulled: at an emulator's address, the client itself takes no more than 4 MB (https://github.com/googleapis/python-pubsub/issues/3).
    assert len(pair.publish_batch([{"data": b"x" * largest}])) == 1


@stand_in_only("Google's emulator takes any attribute")
def test_attributes_at_the_limits_are_delivered_as_they_were(pair: Pair) -> None:
    attributes = {f"{number:0255}é"[-255:]: "é" * 512 for number in range(99)}
    attributes["googclient_traceparent"] = "of Google's own clients"
    pair.publish_batch([{"attributes": attributes}])
    (received,) = pair.pull()
    assert dict(received.message.attributes) == attributes


@stand_in_only("Google's emulator checks neither the filter nor the dead-letter policy")
def test_bad_filter_and_dead_letter_policy_are_invalid_arguments(make_pair: MakePair) -> None:
    topic = fresh("topics")
    with pytest.raises(exceptions.InvalidArgument, match="filter"):
        make_pair(filter='attributes.a == "b"')
    with pytest.raises(exceptions.InvalidArgument, match="max_delivery_attempts"):
        make_pair(dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": 4})
    with pytest.raises(exceptions.NotFound, match=topic):
        make_pair(dead_letter_policy={"dead_letter_topic": topic, "max_delivery_attempts": 5})


def test_subscription_gets_defaults(pair: Pair) -> None:
    kept = pair.subscriber.get_subscription(subscription=pair.subscription)
    assert kept.topic == pair.topic
    assert kept.ack_deadline_seconds == 10
    assert kept.message_retention_duration.total_seconds() == 604800


def test_changed_fields_are_changed_and_others_kept(make_pair: MakePair) -> None:
    pair = make_pair(ack_deadline_seconds=20, labels={"a": "b"})
    change = types.Subscription(name=pair.subscription, ack_deadline_seconds=30)
    answer = pair.subscriber.update_subscription(
        subscription=change, update_mask=FieldMask(paths=["ack_deadline_seconds"])
    )
    kept = pair.subscriber.get_subscription(subscription=pair.subscription)
    assert (answer.ack_deadline_seconds, kept.ack_deadline_seconds, dict(kept.labels)) == (30, 30, {"a": "b"})


@stand_in_only("Google's emulator does not know the labels of a topic when it is updated")
def test_labels_of_a_topic_are_replaced(publisher: PublisherClient) -> None:
    name = fresh("topics")
    publisher.create_topic(request={"name": name, "labels": {"a": "1", "b": "2"}})
    publisher.update_topic(topic=types.Topic(name=name, labels={"c": "3"}), update_mask=FieldMask(paths=["labels"]))
    assert dict(publisher.get_topic(topic=name).labels) == {"c": "3"}


def test_unknown_and_immutable_fields_cannot_be_changed(pair: Pair) -> None:
    change = types.Subscription(name=pair.subscription, topic=pair.topic, filter="attributes:a")
    for path in ("nonsense", "enable_message_ordering"):
        with pytest.raises(exceptions.InvalidArgument):
            pair.subscriber.update_subscription(subscription=change, update_mask=FieldMask(paths=[path]))


def test_lists_are_paged_and_complete(publisher: PublisherClient, subscriber: SubscriberClient) -> None:
    project = f"projects/list-{fresh('topics')[-12:]}"
    topics = [f"{project}/topics/topic-{number}" for number in range(7)]
    subscriptions = [f"{project}/subscriptions/sub-{number}" for number in range(5)]
    for name in topics:
        publisher.create_topic(name=name)
    for name in subscriptions:
        subscriber.create_subscription(name=name, topic=topics[0])
    first = next(publisher.list_topics(request={"project": project, "page_size": 3}).pages)
    assert len(first.topics) == 3
    assert first.next_page_token
    assert sorted(one.name for one in publisher.list_topics(request={"project": project, "page_size": 3})) == topics
    listed = subscriber.list_subscriptions(request={"project": project, "page_size": 2})
    assert sorted(one.name for one in listed) == subscriptions
    attached = publisher.list_topic_subscriptions(request={"topic": topics[0], "page_size": 2})
    assert sorted(attached) == subscriptions


def test_subscription_outlives_its_topic(pair: Pair) -> None:
    pair.publish("kept")
    pair.publisher.delete_topic(topic=pair.topic)
    assert pair.subscriber.get_subscription(subscription=pair.subscription).topic == "_deleted-topic_"
    assert [one.message.data for one in pair.pull()] == [b"kept"]
    pair.publisher.create_topic(name=pair.topic)
    assert list(pair.publisher.list_topic_subscriptions(topic=pair.topic)) == []


def test_deleted_subscription_ends_its_streams(pair: Pair) -> None:
    stream = pair.subscriber.subscribe(pair.subscription, print)
    pair.subscriber.delete_subscription(subscription=pair.subscription)
    with pytest.raises(exceptions.NotFound):
        stream.result(timeout=HANG_SECONDS)


@stand_in_only("Google's emulator cannot detach")
def test_detached_subscription_delivers_nothing_and_says_so(pair: Pair) -> None:
    pair.publish("gone")
    pair.publisher.detach_subscription(request={"subscription": pair.subscription})
    assert pair.subscriber.get_subscription(subscription=pair.subscription).detached
    with pytest.raises(exceptions.FailedPrecondition, match="detached"):
        pair.pull()
    assert list(pair.publisher.list_topic_subscriptions(topic=pair.topic)) == []


@stand_in_only("Google's emulator serves push, and ignores exports")
def test_what_the_stand_in_has_not_is_unimplemented_by_name(make_pair: MakePair) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="push"):
        make_pair(push_config={"push_endpoint": "http://127.0.0.1:1/"})
    with pytest.raises(exceptions.MethodNotImplemented, match="bigquery_config"):
        make_pair(bigquery_config={"table": "p.d.t"})


@stand_in_only("about the stand-in's own text")
def test_unknown_method_is_unimplemented_by_name(publisher: PublisherClient) -> None:
    schemas = SchemaServiceClient(transport=SchemaServiceGrpcTransport(channel=publisher.transport.grpc_channel))
    with pytest.raises(exceptions.MethodNotImplemented, match=r"/google\.pubsub\.v1\.SchemaService/ListSchemas"):
        schemas.list_schemas(parent="projects/conformance")
