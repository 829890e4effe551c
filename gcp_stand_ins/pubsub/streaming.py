"""Streaming pull: one open call that delivers, and takes acknowledgements."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.broker import Broker
from gcp_stand_ins.pubsub.delivery import Consumer
from gcp_stand_ins.pubsub.errors import invalid
from gcp_stand_ins.pubsub.faults import PubSubFaultSwitch
from gcp_stand_ins.pubsub.subscription import Subscription

_NAME = "StreamingPull"
_LEAST_LEASE_SECONDS = 10
_MOST_LEASE_SECONDS = 600


class StreamingPull:
    """Serves the streams of all subscriptions."""

    def __init__(self, broker: Broker, faults: PubSubFaultSwitch) -> None:
        self._broker = broker
        self._faults = faults

    async def serve(self, context: Any) -> None:
        """Serve one stream until the client is done with it.

        Raises:
            ApiError: the client asks for what cannot be, or the subscription ends.
            InjectedError: a fault ends the stream.
        """
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        subscription = self._broker.subscription(first.subscription)
        stream = _Stream(subscription, first, context, self._faults)
        parts = [
            asyncio.ensure_future(part)
            for part in (stream.listen(), stream.deliver(), self._faults.until_faulty(_NAME))
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            subscription.close(stream.consumer)
            for part in parts:
                part.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


class _Stream:
    def __init__(self, subscription: Subscription, first: Any, context: Any, faults: PubSubFaultSwitch) -> None:
        self._subscription = subscription
        self._context = context
        self._faults = faults
        self._lease_seconds = 0
        self.consumer = Consumer(max_messages=first.max_outstanding_messages, max_bytes=first.max_outstanding_bytes)
        if not first.stream_ack_deadline_seconds:
            raise invalid("The first request of a stream must set stream_ack_deadline_seconds.")
        self._obey(first)

    async def listen(self) -> None:
        """Take what the client sends until it has no more to say."""
        while (request := await self._context.read()) is not grpc.aio.EOF:
            if request.subscription or request.max_outstanding_messages or request.max_outstanding_bytes:
                raise invalid("subscription and flow control can be set in the first request of a stream only.")
            self._obey(request)

    async def deliver(self) -> None:
        """Send messages as they come and as flow control allows."""
        while True:
            await self._subscription.readable(self.consumer, until=None)
            await self._faults.before(_NAME)
            resource = self._subscription.resource
            response = wire.StreamingPullResponse()
            # In every response: the client takes what is missing for false.
            properties = response.subscription_properties
            properties.exactly_once_delivery_enabled = resource.enable_exactly_once_delivery
            properties.message_ordering_enabled = resource.enable_message_ordering
            self._subscription.take(self.consumer, response.received_messages, lease_seconds=self._lease_seconds)
            if response.received_messages:
                await self._context.write(response)

    def _obey(self, request: Any) -> None:
        seconds = request.stream_ack_deadline_seconds
        if seconds:
            if not _LEAST_LEASE_SECONDS <= seconds <= _MOST_LEASE_SECONDS:
                raise invalid(f"Invalid stream_ack_deadline_seconds given ({seconds}): it must be between 10 and 600.")
            self._lease_seconds = seconds
        ids, deadlines = request.modify_deadline_ack_ids, request.modify_deadline_seconds
        if len(ids) != len(deadlines):
            raise invalid(f"A stream request names {len(ids)} ack ids and {len(deadlines)} deadlines for them.")
        if ids:
            self._subscription.modify_ack_deadline(zip(ids, deadlines, strict=True))
        if request.ack_ids:
            self._subscription.acknowledge(request.ack_ids)
