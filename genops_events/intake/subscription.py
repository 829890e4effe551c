"""Pull, ack, nack, hold and dead-letter the messages of the arrivals subscription, asynchronously."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from genops_events.gcp.clients import async_publisher_client, async_subscriber_client, pubsub_credentials
from genops_events.gcp.errors import google_call
from genops_events.gcp.requirements import dead_letter_topic
from genops_events.intake.dead_letters import letter_attributes

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient

    from genops_events.config import Config

PULL_SECONDS = 20.0
"""Seconds that one pull waits for messages before it returns none."""

SETTLE_TIMEOUT_SECONDS = 15.0
EXTEND_TIMEOUT_SECONDS = 4.0
"""Short, since the shortest lease is ten seconds, which must leave time for a second try."""

_ACK_IDS_PER_CALL = 1000
"""An ack id has some 200 characters, and a request may have 512 KiB."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivered message, and the handle to settle it by."""

    ack_id: str
    message_id: str
    attributes: dict[str, str]
    data: bytes
    published_at: datetime


class ArrivalsSubscription:
    """The subscription that `genops.yaml` names. Use it in one event loop; build it in a thread, since that may block."""

    def __init__(self, config: Config) -> None:
        import google.api_core.exceptions
        import google.auth.exceptions
        import google.pubsub_v1  # noqa: F401 - imported here, so that the first pull does not block the event loop

        self._credentials = pubsub_credentials()
        self.config = config
        self._subscriber: SubscriberAsyncClient | None = None
        self._publisher: PublisherAsyncClient | None = None
        self._name = f"projects/{config.project}/subscriptions/{config.subscription}"
        self._dead_letters = f"projects/{config.project}/topics/{dead_letter_topic(config)}"

    def _connected(self) -> SubscriberAsyncClient:
        if self._subscriber is None:
            self._subscriber = async_subscriber_client(self._credentials)
        return self._subscriber

    async def pull(self, *, max_messages: int) -> list[Message]:
        """Return up to `max_messages`; none when `PULL_SECONDS` pass without any.

        Raises:
            CloudUnavailable: Pub/Sub does not answer.
            CloudRefused: the subscription does not exist, or may not be read.
        """
        from google.api_core.exceptions import DeadlineExceeded

        with google_call(f"pull {self._name}"):
            try:
                response = await self._connected().pull(
                    subscription=self._name, max_messages=max_messages, timeout=PULL_SECONDS, retry=None
                )
            except DeadlineExceeded:
                return []
        return [
            Message(
                ack_id=received.ack_id,
                message_id=received.message.message_id,
                attributes=dict(received.message.attributes),
                data=received.message.data,
                published_at=received.message.publish_time,
            )
            for received in response.received_messages
        ]

    async def ack(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge the messages. One whose lease has run out may be delivered again."""
        for some in _batches(ack_ids):
            with google_call(f"ack on {self._name}"):
                await self._connected().acknowledge(
                    subscription=self._name, ack_ids=some, timeout=SETTLE_TIMEOUT_SECONDS, retry=None
                )

    async def nack(self, ack_ids: Sequence[str]) -> None:
        """Ask Pub/Sub to deliver the messages again, after its retry policy's pause."""
        await self.extend(ack_ids, seconds=0)

    async def extend(self, ack_ids: Sequence[str], *, seconds: int) -> None:
        """Extend the leases to `seconds` (up to 600) from now; no effect on a lease that has run out."""
        for some in _batches(ack_ids):
            with google_call(f"change leases on {self._name}"):
                await self._connected().modify_ack_deadline(
                    subscription=self._name,
                    ack_ids=some,
                    ack_deadline_seconds=seconds,
                    timeout=EXTEND_TIMEOUT_SECONDS,
                    retry=None,
                )

    async def dead_letter(self, message: Message, *, reason: str) -> None:
        """Publish a copy of `message` on the dead-letter topic, with the reason; the original has still to be acked.

        Raises:
            CloudUnavailable: Pub/Sub does not answer.
            CloudRefused: the topic does not exist or may not be used.
        """
        if self._publisher is None:
            self._publisher = async_publisher_client(self._credentials)
        attributes = letter_attributes(
            message.attributes,
            reason=reason,
            message_id=message.message_id,
            published_at=message.published_at,
            data_bytes=len(message.data),
        )
        with google_call(f"publish to {self._dead_letters}"):
            await self._publisher.publish(
                topic=self._dead_letters,
                messages=[{"data": message.data, "attributes": attributes}],
                timeout=SETTLE_TIMEOUT_SECONDS,
                retry=None,
            )

    async def close(self) -> None:
        """Close the connections; the next call opens another."""
        clients = (self._subscriber, self._publisher)
        self._subscriber = self._publisher = None
        for client in clients:
            if client is not None:
                await client.transport.close()


def _batches(ack_ids: Sequence[str]) -> list[list[str]]:
    return [list(ack_ids[start : start + _ACK_IDS_PER_CALL]) for start in range(0, len(ack_ids), _ACK_IDS_PER_CALL)]
