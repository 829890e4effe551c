"""Dead letters: messages of the arrivals topic that could not be read or stored, kept with the reason for a person.

They reach the dead-letter topic in two ways: this project publishes messages that it cannot read (`letter_attributes`), and
Pub/Sub moves messages that were delivered too often without an ack.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, subscriber_client
from genops_events.gcp.errors import google_call
from genops_events.gcp.requirements import dead_letter_topic, topic_name
from genops_events.record.messages import with_room

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient
    from google.pubsub_v1 import PublisherClient

    from genops_events.config import Config

REASON, MESSAGE_ID, PUBLISH_TIME = OWN_ATTRIBUTES = ("genops-reason", "genops-message-id", "genops-publish-time")
MOVED = "CloudPubSubDeadLetterSource"
"""Prefix of the attributes that Pub/Sub adds. Source: https://cloud.google.com/pubsub/docs/handling-failures"""

SHOWN_CHARACTERS = 120
COUNTED = 100
CARRIED = 10_000
FIRST_LOOK_SECONDS = 3.0
"""Seconds to wait for the first message: Pub/Sub may need a moment."""
_LEASE_SECONDS = 60
_RELEASE_TIMEOUT_SECONDS = 5.0


class NoDeadLetterSubscription(PermanentError):
    """Dead letters are lost, since their topic has no subscription."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message on the dead-letter topic, with all its copies."""

    message_id: str
    """Id of the message on the arrivals topic, if that is known; else on the dead-letter topic."""
    published_at: str
    """When the message was published on the arrivals topic, in ISO 8601."""
    reason: str
    attributes: dict[str, str]
    data: bytes
    ack_ids: tuple[str, ...]

    def original_attributes(self) -> dict[str, str]:
        """Return the attributes as they were on the arrivals topic."""
        return {
            name: value
            for name, value in self.attributes.items()
            if name not in OWN_ATTRIBUTES and not name.startswith(MOVED)
        }

    def to_json(self) -> dict[str, Any]:
        """Return the fields for people, as JSON values."""
        return {
            "message_id": self.message_id,
            "published_at": self.published_at,
            "reason": self.reason,
            "bucket": self.attributes.get("bucketId"),
            "object": self.attributes.get("objectId"),
            "generation": self.attributes.get("objectGeneration"),
            "data": self.data.decode("utf-8", errors="replace")[:SHOWN_CHARACTERS],
        }


def letter_attributes(
    attributes: Mapping[str, str], *, reason: str, message_id: str, published_at: datetime, data_bytes: int = 0
) -> dict[str, str]:
    """Return the attributes of the dead letter for an unreadable message: its own, with reason, id and time as far as they fit."""
    added = {REASON: reason, MESSAGE_ID: message_id, PUBLISH_TIME: published_at.isoformat()}
    return with_room(attributes, added, data_bytes=data_bytes)


def count_dead_letters(config: Config) -> int:
    """Return the number of dead letters, up to `COUNTED`, within about two seconds; raises as `peek` does."""
    with DeadLetters.opened(config) as letters:
        return len(letters.peek(limit=COUNTED, seconds=0.8))


class DeadLetters:
    """The dead-letter subscription; reading it removes no message."""

    def __init__(self, config: Config, client: SubscriberClient) -> None:
        self._config = config
        self._client = client
        self._id = dead_letter_topic(config)
        self._name = f"projects/{config.project}/subscriptions/{self._id}"
        self._leased: set[str] = set()
        self._publisher: PublisherClient | None = None

    @classmethod
    @contextmanager
    def opened(cls, config: Config) -> Iterator[DeadLetters]:
        """Yield the dead letters; at the end, also after an error, release the leases of those that were read."""
        with subscriber_client() as client:
            made = cls(config, client)
            try:
                yield made
            finally:
                made.release()
                if made._publisher is not None:
                    made._publisher.transport.close()

    def peek(self, *, limit: int, seconds: float | None = None) -> list[DeadLetter]:
        """Return up to `limit` dead letters, oldest first; other processes do not get them until they are released.

        Args:
            limit: most letters to return.
            seconds: to wait for the first; None for `FIRST_LOOK_SECONDS`.

        Raises:
            NoDeadLetterSubscription: the subscription does not exist.
            CloudUnavailable, CloudRefused: Pub/Sub does not answer, or refuses.
        """
        found: dict[str, DeadLetter] = {}
        deadline = time.monotonic() + CALL_TIMEOUT_SECONDS
        wait = seconds = FIRST_LOOK_SECONDS if seconds is None else seconds
        while len(found) < limit and time.monotonic() < deadline:
            before = len(found)
            for received in self._pull(min(limit - before, 100), seconds=wait):
                letter = _read(received)
                known = found.get(letter.message_id)
                earlier = () if known is None else known.ack_ids
                found[letter.message_id] = replace(letter, ack_ids=(*earlier, *letter.ack_ids))
            if len(found) == before:
                break  # nothing new: a letter whose lease has run out is delivered again
            wait = min(seconds, 1.0)
        return sorted(found.values(), key=lambda one: one.published_at)

    def replay(self, letter: DeadLetter) -> str:
        """Publish `letter` on the arrivals topic as it was, then remove it; return its new message id.

        After a crash between the two, the dead letter can be replayed again: a repeated notification changes nothing.
        """
        published = self._publish(self._config.topics.arrivals, letter.original_attributes(), letter.data)
        with google_call(f"ack on {self._name}"):
            self._client.acknowledge(
                subscription=self._name, ack_ids=list(letter.ack_ids), timeout=CALL_TIMEOUT_SECONDS
            )
        self._leased.difference_update(letter.ack_ids)
        return published

    def publish_again(self, letters: Iterable[DeadLetter]) -> None:
        """Publish `letters` on the dead-letter topic as they are, each with its reason, where Pub/Sub takes that beside what it had."""
        for letter in letters:
            had = letter.original_attributes()
            added = {name: value for name, value in letter.attributes.items() if name not in had}
            self._publish(self._id, with_room(had, added, data_bytes=len(letter.data)), letter.data)

    def release(self) -> None:
        """Release the leases of all letters that were read. Errors are ignored, since leases run out by themselves."""
        from google.api_core.exceptions import GoogleAPICallError

        ack_ids, self._leased = sorted(self._leased), set()
        try:
            if ack_ids:
                self._set_lease(ack_ids, 0)
        except GoogleAPICallError:
            return

    def _publish(self, topic_id: str, attributes: Mapping[str, str], data: bytes) -> str:
        from google.pubsub_v1 import PublisherClient

        topic = topic_name(self._config, topic_id)
        with google_call(f"publish to {topic}"):
            if self._publisher is None:
                # Not the usual client with batching: it cannot send an attribute with the name `timeout`.
                self._publisher = PublisherClient()
            message = {"data": data, "attributes": dict(attributes)}
            published = self._publisher.publish(topic=topic, messages=[message], timeout=CALL_TIMEOUT_SECONDS)
        return str(published.message_ids[0])

    def _pull(self, count: int, *, seconds: float) -> list[Any]:
        from google.api_core.exceptions import DeadlineExceeded, NotFound

        with google_call(f"look at {self._name}"):
            try:
                pulled = self._client.pull(subscription=self._name, max_messages=count, timeout=seconds, retry=None)
            except DeadlineExceeded:
                return []
            except NotFound as error:
                raise NoDeadLetterSubscription(
                    f"The subscription {self._id} does not exist in the project {self._config.project}, "
                    "so dead letters are not kept.",
                    "Create it: `genops up` on the local stack, `genops provision --apply` in Google Cloud.",
                ) from error
            received = list(pulled.received_messages)
            ack_ids = [one.ack_id for one in received]
            self._leased.update(ack_ids)
            if ack_ids:
                self._set_lease(ack_ids, _LEASE_SECONDS)
        return received

    def _set_lease(self, ack_ids: list[str], seconds: int) -> None:
        self._client.modify_ack_deadline(
            subscription=self._name,
            ack_ids=ack_ids,
            ack_deadline_seconds=seconds,
            timeout=_RELEASE_TIMEOUT_SECONDS,
            retry=None,
        )


def _read(received: Any) -> DeadLetter:
    message = received.message
    attributes = dict(message.attributes)
    reason = attributes.get(REASON)
    if reason is None:
        times = attributes.get(f"{MOVED}DeliveryCount")
        reason = "unknown" if times is None else f"delivered {times} times without being stored"
    published = attributes.get(PUBLISH_TIME) or attributes.get(f"{MOVED}TopicPublishTime")
    return DeadLetter(
        message_id=attributes.get(MESSAGE_ID, message.message_id),
        published_at=published or message.publish_time.isoformat(),
        reason=reason,
        attributes=attributes,
        data=message.data,
        ack_ids=(received.ack_id,),
    )
