"""Topics, subscriptions and snapshots, and how a message gets from the first to the others."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.dead_letters import dead_letter
from gcp_stand_ins.pubsub.delivery import Entry, StoredMessage
from gcp_stand_ins.pubsub.errors import ApiError, already_exists, failed_precondition, not_found
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch
from gcp_stand_ins.pubsub.journal import Journal
from gcp_stand_ins.pubsub.names import DELETED_TOPIC
from gcp_stand_ins.pubsub.store import MessageStore
from gcp_stand_ins.pubsub.subscription import Subscription


@dataclass(slots=True, eq=False)
class Snapshot:
    """What was unacknowledged when it was taken, and everything published since."""

    uid: int
    resource: Any
    messages: dict[int, StoredMessage] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Topic:
    """A topic, who is attached to it, and what it retains."""

    uid: int
    resource: Any
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    retained: dict[int, StoredMessage] = field(default_factory=dict)


class Broker:
    """Everything the stand-in knows, restored from the journal when it is made.

    Every change is made at once in memory and is written with the next commit: `await journal.committed()` before
    answering.
    """

    def __init__(self, journal: Journal, faults: PubSubFaultSwitch) -> None:
        self.journal = journal
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self._store = MessageStore(journal)
        self._faults = faults
        self._restore()

    def topic(self, name: str) -> Topic:
        """Return a topic.

        Raises:
            ApiError: NOT_FOUND.
        """
        if (topic := self.topics.get(name)) is None:
            raise not_found("topic", name)
        return topic

    def subscription(self, name: str) -> Subscription:
        """Return a subscription, detached or not.

        Raises:
            ApiError: NOT_FOUND.
        """
        if (subscription := self.subscriptions.get(name)) is None:
            raise not_found("subscription", name)
        return subscription

    def snapshot(self, name: str) -> Snapshot:
        """Return a snapshot.

        Raises:
            ApiError: NOT_FOUND.
        """
        if (snapshot := self.snapshots.get(name)) is None:
            raise not_found("snapshot", name)
        return snapshot

    def create_topic(self, resource: Any) -> None:
        """Add a topic.

        Raises:
            ApiError: ALREADY_EXISTS.
        """
        if resource.name in self.topics:
            raise already_exists("topic", resource.name)
        uid = self.journal.add_resource("topic", None, resource.SerializeToString())
        self.topics[resource.name] = Topic(uid, resource)

    def update_topic(self, topic: Topic, resource: Any) -> None:
        """Put new settings of a topic in force."""
        topic.resource = resource
        self.journal.change_resource(topic.uid, None, resource.SerializeToString())
        self._expire_topic(topic, time.time())

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their backlog and are attached to nothing.

        Raises:
            ApiError: NOT_FOUND.
        """
        topic = self.topic(name)
        del self.topics[name]
        for message in topic.retained.values():
            self._store.release(topic.uid, message)
        for subscription in topic.subscriptions.values():
            subscription.resource.topic = DELETED_TOPIC
            self.journal.change_resource(subscription.uid, None, subscription.resource.SerializeToString())
        for snapshot in topic.snapshots.values():
            snapshot.resource.topic = DELETED_TOPIC
            self.journal.change_resource(snapshot.uid, None, snapshot.resource.SerializeToString())
        self.journal.drop_resource(topic.uid)

    def publish(self, topic: Topic, bodies: Iterable[Any]) -> list[str]:
        """Give messages to everybody who is attached to `topic`; return their ids. Deliveries begin after the commit."""
        now = time.time()
        stamp = wire.Timestamp()
        stamp.FromNanoseconds(int(now * 1e9))
        ids = []
        for body in bodies:
            own = wire.PubsubMessage()  # a copy: a part of the request would keep the whole request in memory
            own.CopyFrom(body)
            own.publish_time.CopyFrom(stamp)
            message_id = self.journal.next_message_id()
            own.message_id = str(message_id)
            message = StoredMessage(message_id, now, own, own.ByteSize())
            for subscription in topic.subscriptions.values():
                subscription.accept(message)
            for snapshot in topic.snapshots.values():
                snapshot.messages[message_id] = message
                self._store.hold(snapshot.uid, message)
            if topic.resource.HasField("message_retention_duration"):
                topic.retained[message_id] = message
                self._store.hold(topic.uid, message)
            ids.append(own.message_id)
        for subscription in topic.subscriptions.values():
            self.journal.after_commit(subscription.wake)
        return ids

    def create_subscription(self, resource: Any) -> None:
        """Attach a subscription to its topic.

        Raises:
            ApiError: ALREADY_EXISTS, or NOT_FOUND for the topic or the dead-letter topic.
        """
        if resource.name in self.subscriptions:
            raise already_exists("subscription", resource.name)
        topic = self.topic(resource.topic)
        self._check_dead_letter_topic(resource)
        uid = self.journal.add_resource("subscription", topic.uid, resource.SerializeToString())
        self._add_subscription(uid, resource, topic)

    def update_subscription(self, subscription: Subscription, resource: Any) -> None:
        """Put new settings of a subscription in force.

        Raises:
            ApiError: NOT_FOUND for the dead-letter topic.
        """
        self._check_dead_letter_topic(resource)
        subscription.update(resource)
        self._change_subscription(subscription)

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription with its backlog; open calls on it end.

        Raises:
            ApiError: NOT_FOUND.
        """
        subscription = self.subscription(name)
        del self.subscriptions[name]
        self._detach(subscription)
        self.journal.drop_resource(subscription.uid)
        subscription.end(not_found("subscription", name))

    def detach_subscription(self, name: str) -> None:
        """Detach a subscription from its topic: its backlog goes, it stays listed, every pull fails.

        Raises:
            ApiError: NOT_FOUND.
        """
        subscription = self.subscription(name)
        self._detach(subscription)
        subscription.resource.detached = True
        self._change_subscription(subscription)
        subscription.end(_detached(name))

    def create_snapshot(self, resource: Any, subscription: Subscription) -> None:
        """Take a snapshot of what `subscription` has not acknowledged.

        Raises:
            ApiError: ALREADY_EXISTS, or NOT_FOUND for the topic.
        """
        if resource.name in self.snapshots:
            raise already_exists("snapshot", resource.name)
        topic = self.topic(resource.topic)
        uid = self.journal.add_resource("snapshot", topic.uid, resource.SerializeToString())
        snapshot = self.snapshots[resource.name] = topic.snapshots[resource.name] = Snapshot(uid, resource)
        for message_id, entry in subscription.backlog.entries.items():
            snapshot.messages[message_id] = entry.message
            self._store.hold(uid, entry.message)

    def update_snapshot(self, snapshot: Snapshot, resource: Any) -> None:
        """Put new settings of a snapshot in force."""
        snapshot.resource = resource
        topic = self.topics.get(resource.topic)
        self.journal.change_resource(snapshot.uid, topic.uid if topic else None, resource.SerializeToString())

    def delete_snapshot(self, name: str) -> None:
        """Delete a snapshot.

        Raises:
            ApiError: NOT_FOUND.
        """
        snapshot = self.snapshot(name)
        del self.snapshots[name]
        if (topic := self.topics.get(snapshot.resource.topic)) is not None:
            topic.snapshots.pop(name, None)
        for message in snapshot.messages.values():
            self._store.release(snapshot.uid, message)
        self.journal.drop_resource(snapshot.uid)

    def seek_to_time(self, subscription: Subscription, seconds: float) -> None:
        """Make unacknowledged what was published at `seconds` since the epoch or later, as far as it is kept."""
        kept = {entry.message.id: entry.message for entry in subscription.backlog.entries.values()}
        kept |= subscription.retained
        if (topic := self.topics.get(subscription.resource.topic)) is not None:
            kept |= {one.id: one for one in topic.retained.values() if subscription.matches(one.body.attributes)}
        subscription.replay([message for message in kept.values() if message.published_at >= seconds])

    def seek_to_snapshot(self, subscription: Subscription, snapshot: Snapshot) -> None:
        """Go back to what was unacknowledged when the snapshot was taken.

        Raises:
            ApiError: FAILED_PRECONDITION when it is of another topic.
        """
        if snapshot.resource.topic != subscription.resource.topic:
            raise failed_precondition(
                f"The snapshot {snapshot.resource.name} is of {snapshot.resource.topic}, not of the topic of the "
                "subscription."
            )
        subscription.replay([one for one in snapshot.messages.values() if subscription.matches(one.body.attributes)])

    def expire(self, now: float) -> None:
        """Forget what is older than its retention (`now`: seconds since the epoch)."""
        for topic in self.topics.values():
            self._expire_topic(topic, now)
        for subscription in self.subscriptions.values():
            subscription.expire(now)
        for name, snapshot in list(self.snapshots.items()):
            if snapshot.resource.expire_time.ToNanoseconds() / 1e9 < now:
                self.delete_snapshot(name)

    def _expire_topic(self, topic: Topic, now: float) -> None:
        cutoff = now - topic.resource.message_retention_duration.ToNanoseconds() / 1e9
        for message in list(topic.retained.values()):
            if message.published_at >= cutoff:
                break  # they are in the order of publication
            del topic.retained[message.id]
            self._store.release(topic.uid, message)

    def _add_subscription(self, uid: int, resource: Any, topic: Topic | None) -> Subscription:
        subscription = Subscription(
            uid=uid, resource=resource, store=self._store, faults=self._faults, dead_letter=self._forward_dead_letter
        )
        self.subscriptions[resource.name] = subscription
        if resource.detached:
            subscription.end(_detached(resource.name))
        elif topic is not None:
            topic.subscriptions[resource.name] = subscription
        return subscription

    def _change_subscription(self, subscription: Subscription) -> None:
        topic = self.topics.get(subscription.resource.topic)
        body = subscription.resource.SerializeToString()
        self.journal.change_resource(subscription.uid, topic.uid if topic else None, body)

    def _detach(self, subscription: Subscription) -> None:
        if (topic := self.topics.get(subscription.resource.topic)) is not None:
            topic.subscriptions.pop(subscription.resource.name, None)
        subscription.release_everything()

    def _check_dead_letter_topic(self, resource: Any) -> None:
        if resource.HasField("dead_letter_policy"):
            self.topic(resource.dead_letter_policy.dead_letter_topic)

    def _forward_dead_letter(self, subscription: Subscription, entry: Entry) -> bool:
        topic = self.topics.get(subscription.resource.dead_letter_policy.dead_letter_topic)
        if topic is None:
            return False
        forwarded = dead_letter(entry.message, subscription=subscription.resource.name, attempts=entry.failures)
        self.publish(topic, [forwarded])
        return True

    def _restore(self) -> None:
        topics: dict[int, Topic] = {}
        subscriptions: dict[int, Subscription] = {}
        snapshots: dict[int, Snapshot] = {}
        for uid, kind, topic_uid, body in self.journal.resources():
            topic = topics.get(topic_uid) if topic_uid is not None else None
            if kind == "topic":
                resource = wire.Topic.FromString(body)
                topics[uid] = self.topics[resource.name] = Topic(uid, resource)
            elif kind == "subscription":
                subscriptions[uid] = self._add_subscription(uid, wire.Subscription.FromString(body), topic)
            else:
                snapshot = snapshots[uid] = Snapshot(uid, wire.Snapshot.FromString(body))
                self.snapshots[snapshot.resource.name] = snapshot
                if topic is not None:
                    topic.snapshots[snapshot.resource.name] = snapshot
        for hold, message in self._store.restore():
            if hold.owner_uid in subscriptions:
                subscriptions[hold.owner_uid].restore(message, acknowledged=hold.acknowledged, failures=hold.failures)
            elif hold.owner_uid in topics:
                topics[hold.owner_uid].retained[message.id] = message
            else:
                snapshots[hold.owner_uid].messages[message.id] = message


def _detached(name: str) -> ApiError:
    return failed_precondition(f"The subscription {name} is detached from its topic: delete it and create a new one.")
