"""Pull, ack and nack the messages of the arrivals subscription, asynchronously."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genops_events.gcp.clients import async_subscriber_client, pubsub_credentials
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.pubsub_v1 import SubscriberAsyncClient

    from genops_events.config import Config

PULL_SECONDS = 20.0
"""How long one pull waits for messages before it comes back empty."""

SETTLE_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """One delivered message, and the handle to settle it by."""

    ack_id: str
    message_id: str
    attributes: dict[str, str]
    data: bytes


class ArrivalsSubscription:
    """The subscription that `genops.yaml` names. Its calls belong to one event loop; build it in a thread, it may block."""

    def __init__(self, config: Config) -> None:
        import google.api_core.exceptions
        import google.auth.exceptions
        import google.pubsub_v1  # noqa: F401 - all imported here, so that the first pull does not block the event loop

        self._credentials = pubsub_credentials()
        self.config = config
        self._client: SubscriberAsyncClient | None = None
        self._name = f"projects/{config.project}/subscriptions/{config.subscription}"

    def _connected(self) -> SubscriberAsyncClient:
        if self._client is None:
            self._client = async_subscriber_client(self._credentials)
        return self._client

    async def pull(self, *, max_messages: int) -> list[Message]:
        """Return up to `max_messages`; none when `PULL_SECONDS` pass without any.

        Raises:
            CloudUnavailable: Pub/Sub does not answer.
            CloudRefused: the subscription is not there, or not allowed.
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
            )
            for received in response.received_messages
        ]

    async def ack(self, messages: Sequence[Message]) -> None:
        """Tell Pub/Sub that `messages` are done with."""
        with google_call(f"ack on {self._name}"):
            await self._connected().acknowledge(
                subscription=self._name,
                ack_ids=[message.ack_id for message in messages],
                timeout=SETTLE_TIMEOUT_SECONDS,
                retry=None,
            )

    async def nack(self, messages: Sequence[Message]) -> None:
        """Ask Pub/Sub to deliver `messages` again, after its retry policy's pause."""
        with google_call(f"nack on {self._name}"):
            await self._connected().modify_ack_deadline(
                subscription=self._name,
                ack_ids=[message.ack_id for message in messages],
                ack_deadline_seconds=0,
                timeout=SETTLE_TIMEOUT_SECONDS,
                retry=None,
            )

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.transport.close()
