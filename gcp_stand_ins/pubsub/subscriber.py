"""The methods of `google.pubsub.v1.Subscriber`, streaming pull apart."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.broker import Broker
from gcp_stand_ins.pubsub.delivery import Consumer
from gcp_stand_ins.pubsub.errors import failed_precondition, invalid, stale_ack_ids
from gcp_stand_ins.pubsub.names import checked_name, page, within
from gcp_stand_ins.pubsub.resources import (
    SNAPSHOT_SECONDS,
    checked_subscription,
    refuse_push,
    updated_snapshot,
    updated_subscription,
)
from gcp_stand_ins.pubsub.rpc import Streaming, Unary, unary
from gcp_stand_ins.pubsub.streaming import StreamingPull

_LONGEST_WAIT_SECONDS = 30.0
"""An empty Pull is answered after this long, or shortly before the client's own deadline."""


class Subscriber:
    """Answers the calls of subscribers and of those who set subscriptions up."""

    def __init__(self, broker: Broker, streaming: StreamingPull) -> None:
        self._broker = broker
        self._streaming = streaming

    def methods(self) -> list[Unary | Streaming]:
        """Return the RPCs that are served."""
        return [
            unary(self.create_subscription, wire.Subscription),
            unary(self.get_subscription, wire.GetSubscriptionRequest),
            unary(self.update_subscription, wire.UpdateSubscriptionRequest),
            unary(self.list_subscriptions, wire.ListSubscriptionsRequest),
            unary(self.delete_subscription, wire.DeleteSubscriptionRequest),
            unary(self.modify_ack_deadline, wire.ModifyAckDeadlineRequest),
            unary(self.acknowledge, wire.AcknowledgeRequest),
            unary(self.pull, wire.PullRequest),
            unary(self.modify_push_config, wire.ModifyPushConfigRequest),
            unary(self.get_snapshot, wire.GetSnapshotRequest),
            unary(self.list_snapshots, wire.ListSnapshotsRequest),
            unary(self.create_snapshot, wire.CreateSnapshotRequest),
            unary(self.update_snapshot, wire.UpdateSnapshotRequest),
            unary(self.delete_snapshot, wire.DeleteSnapshotRequest),
            unary(self.seek, wire.SeekRequest),
            Streaming("StreamingPull", self._streaming.serve, wire.StreamingPullRequest),
        ]

    async def create_subscription(self, request: Any, _: Any) -> Any:
        """Create a subscription; it receives what is published from now on."""
        subscription = checked_subscription(request)
        self._broker.create_subscription(subscription)
        await self._broker.journal.committed()
        return self._shown(subscription)

    async def get_subscription(self, request: Any, _: Any) -> Any:
        """Return a subscription."""
        return self._shown(self._broker.subscription(request.subscription).resource)

    async def update_subscription(self, request: Any, _: Any) -> Any:
        """Change the fields that the mask names."""
        subscription = self._broker.subscription(request.subscription.name)
        resource = updated_subscription(subscription.resource, request.subscription, request.update_mask)
        self._broker.update_subscription(subscription, resource)
        await self._broker.journal.committed()
        return self._shown(resource)

    async def list_subscriptions(self, request: Any, _: Any) -> Any:
        """Return a page of a project's subscriptions."""
        known = self._broker.subscriptions
        names, token = page(within(request.project, known), request.page_size, request.page_token)
        shown = [self._shown(known[name].resource) for name in names]
        return wire.ListSubscriptionsResponse(subscriptions=shown, next_page_token=token)

    async def delete_subscription(self, request: Any, _: Any) -> Any:
        """Delete a subscription with its backlog."""
        self._broker.delete_subscription(request.subscription)
        await self._broker.journal.committed()
        return wire.Empty()

    async def pull(self, request: Any, context: Any) -> Any:
        """Return messages as soon as there are any; none after a bounded wait."""
        subscription = self._broker.subscription(request.subscription)
        if request.max_messages <= 0:
            raise invalid(f"Invalid max_messages given ({request.max_messages}): it must be positive.")
        remaining = context.time_remaining()
        wait = _LONGEST_WAIT_SECONDS if remaining is None else min(_LONGEST_WAIT_SECONDS, remaining * 0.9)
        until = asyncio.get_running_loop().time() + (0.0 if request.return_immediately else wait)
        consumer = Consumer()
        response = wire.PullResponse()
        if await subscription.readable(consumer, until=until):
            subscription.take(
                consumer,
                response.received_messages,
                lease_seconds=subscription.resource.ack_deadline_seconds,
                max_messages=request.max_messages,
            )
        subscription.close(consumer)
        return response

    async def acknowledge(self, request: Any, _: Any) -> Any:
        """Settle messages."""
        subscription = self._broker.subscription(request.subscription)
        stale = subscription.acknowledge(request.ack_ids)
        await self._broker.journal.committed()
        if stale and subscription.resource.enable_exactly_once_delivery:
            raise stale_ack_ids(stale)
        return wire.Empty()

    async def modify_ack_deadline(self, request: Any, _: Any) -> Any:
        """Extend leases, or give messages back."""
        subscription = self._broker.subscription(request.subscription)
        seconds = request.ack_deadline_seconds
        stale = subscription.modify_ack_deadline((ack_id, seconds) for ack_id in request.ack_ids)
        if stale and subscription.resource.enable_exactly_once_delivery:
            raise stale_ack_ids(stale)
        return wire.Empty()

    async def modify_push_config(self, request: Any, _: Any) -> Any:
        """Accept that a pull subscription stays one."""
        self._broker.subscription(request.subscription)
        refuse_push(request.push_config)
        return wire.Empty()

    async def get_snapshot(self, request: Any, _: Any) -> Any:
        """Return a snapshot."""
        return self._broker.snapshot(request.snapshot).resource

    async def list_snapshots(self, request: Any, _: Any) -> Any:
        """Return a page of a project's snapshots."""
        known = self._broker.snapshots
        names, token = page(within(request.project, known), request.page_size, request.page_token)
        return wire.ListSnapshotsResponse(snapshots=[known[name].resource for name in names], next_page_token=token)

    async def create_snapshot(self, request: Any, _: Any) -> Any:
        """Take a snapshot of what a subscription has not acknowledged."""
        subscription = self._broker.subscription(request.subscription)
        snapshot = wire.Snapshot(
            name=checked_name(request.name, "snapshots"), topic=subscription.resource.topic, labels=dict(request.labels)
        )
        snapshot.expire_time.seconds = int(time.time()) + SNAPSHOT_SECONDS
        self._broker.create_snapshot(snapshot, subscription)
        await self._broker.journal.committed()
        return snapshot

    async def update_snapshot(self, request: Any, _: Any) -> Any:
        """Change the fields that the mask names."""
        snapshot = self._broker.snapshot(request.snapshot.name)
        resource = updated_snapshot(snapshot.resource, request.snapshot, request.update_mask)
        self._broker.update_snapshot(snapshot, resource)
        await self._broker.journal.committed()
        return resource

    async def delete_snapshot(self, request: Any, _: Any) -> Any:
        """Delete a snapshot."""
        self._broker.delete_snapshot(request.snapshot)
        await self._broker.journal.committed()
        return wire.Empty()

    async def seek(self, request: Any, _: Any) -> Any:
        """Go back, or forward, to a time or a snapshot."""
        subscription = self._broker.subscription(request.subscription)
        if subscription.resource.detached:
            raise failed_precondition(f"The subscription {request.subscription} is detached from its topic.")
        if request.HasField("time"):
            self._broker.seek_to_time(subscription, request.time.ToNanoseconds() / 1e9)
        elif request.snapshot:
            self._broker.seek_to_snapshot(subscription, self._broker.snapshot(request.snapshot))
        else:
            raise invalid("A seek needs a time or a snapshot.")
        await self._broker.journal.committed()
        return wire.SeekResponse()

    def _shown(self, resource: Any) -> Any:
        """Return a subscription with what its topic says about it."""
        topic = self._broker.topics.get(resource.topic)
        if topic is None or not topic.resource.HasField("message_retention_duration"):
            return resource
        shown = wire.Subscription()
        shown.CopyFrom(resource)
        shown.topic_message_retention_duration.CopyFrom(topic.resource.message_retention_duration)
        return shown
