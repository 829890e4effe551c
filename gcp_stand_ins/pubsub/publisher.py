"""The methods of `google.pubsub.v1.Publisher`."""

from __future__ import annotations

from typing import Any

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.broker import Broker, Topic
from gcp_stand_ins.pubsub.names import page, within
from gcp_stand_ins.pubsub.resources import check_publication, checked_topic, updated_topic
from gcp_stand_ins.pubsub.rpc import Unary, unary


class Publisher:
    """Answers the calls of publishers and of those who set topics up."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def methods(self) -> list[Unary]:
        """Return the RPCs that are served."""
        return [
            unary(self.create_topic, wire.Topic),
            unary(self.update_topic, wire.UpdateTopicRequest),
            unary(self.publish, wire.PublishRequest),
            unary(self.get_topic, wire.GetTopicRequest),
            unary(self.list_topics, wire.ListTopicsRequest),
            unary(self.list_topic_subscriptions, wire.ListTopicSubscriptionsRequest),
            unary(self.list_topic_snapshots, wire.ListTopicSnapshotsRequest),
            unary(self.delete_topic, wire.DeleteTopicRequest),
            unary(self.detach_subscription, wire.DetachSubscriptionRequest),
        ]

    async def create_topic(self, request: Any, _: Any) -> Any:
        """Create a topic."""
        topic = checked_topic(request)
        self._broker.create_topic(topic)
        await self._broker.journal.committed()
        return topic

    async def update_topic(self, request: Any, _: Any) -> Any:
        """Change the fields that the mask names."""
        topic = self._broker.topic(request.topic.name)
        self._broker.update_topic(topic, updated_topic(topic.resource, request.topic, request.update_mask))
        await self._broker.journal.committed()
        return topic.resource

    async def publish(self, request: Any, _: Any) -> Any:
        """Accept messages; once this has answered, a kill does not lose them."""
        topic = self._broker.topic(request.topic)
        check_publication(request)
        message_ids = self._broker.publish(topic, request.messages)
        await self._broker.journal.committed()
        return wire.PublishResponse(message_ids=message_ids)

    async def get_topic(self, request: Any, _: Any) -> Any:
        """Return a topic."""
        return self._broker.topic(request.topic).resource

    async def list_topics(self, request: Any, _: Any) -> Any:
        """Return a page of a project's topics."""
        names, token = page(within(request.project, self._broker.topics), request.page_size, request.page_token)
        topics = [self._broker.topics[name].resource for name in names]
        return wire.ListTopicsResponse(topics=topics, next_page_token=token)

    async def list_topic_subscriptions(self, request: Any, _: Any) -> Any:
        """Return a page of the names of a topic's subscriptions."""
        topic: Topic = self._broker.topic(request.topic)
        names, token = page(sorted(topic.subscriptions), request.page_size, request.page_token)
        return wire.ListTopicSubscriptionsResponse(subscriptions=names, next_page_token=token)

    async def list_topic_snapshots(self, request: Any, _: Any) -> Any:
        """Return a page of the names of a topic's snapshots."""
        topic: Topic = self._broker.topic(request.topic)
        names, token = page(sorted(topic.snapshots), request.page_size, request.page_token)
        return wire.ListTopicSnapshotsResponse(snapshots=names, next_page_token=token)

    async def delete_topic(self, request: Any, _: Any) -> Any:
        """Delete a topic."""
        self._broker.delete_topic(request.topic)
        await self._broker.journal.committed()
        return wire.Empty()

    async def detach_subscription(self, request: Any, _: Any) -> Any:
        """Detach a subscription from its topic."""
        self._broker.detach_subscription(request.subscription)
        await self._broker.journal.committed()
        return wire.DetachSubscriptionResponse()
