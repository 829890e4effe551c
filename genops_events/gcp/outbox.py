"""Publish completion events from an outbox in the record, so that no verdict goes unannounced."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.gcp.clients import idempotent_retry, publisher_client
from genops_events.gcp.errors import google_call
from genops_events.gcp.table_marks import note_due
from genops_events.record.comparison import ComparisonSummary
from genops_events.record.document import Announcement, Publication
from genops_events.record.events import (
    announcement,
    announcement_path,
    comparison_announcement,
    comparison_announcement_path,
    hold_announcement,
    hold_announcement_path,
    publication_path,
)
from genops_events.record.holds import Hold
from genops_events.record.messages import payload
from genops_events.record.verdicts import Verdict

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

PUBLISH_TIMEOUT_SECONDS = 60.0
PUBLISHED = {"published": "true"}
"""Object metadata by which older versions marked a completion event that was published."""


def announce(config: Config, store: RecordStore, verdict: Verdict) -> None:
    """Announce `verdict` at least once: write its event, publish it, note that it was published.

    Dying between any two of these steps is safe: the next call goes on where this one ended, and a subscriber
    recognises a repeated event by its id. An event with such a note is not published again.

    Raises:
        CloudUnavailable: the event is written but not published; a retry publishes it.
    """
    path = announcement_path(verdict.candidate, verdict.stage, verdict.outcome, verdict.retries or 0)
    deliver(config, store, path, announcement(verdict, bucket=store.bucket.name, now=datetime.now(UTC)))


def announce_hold(config: Config, store: RecordStore, hold: Hold) -> None:
    """Announce that a stage waits for an approval, as `announce` does a verdict."""
    path = hold_announcement_path(hold.candidate, hold.stage, hold.number)
    deliver(config, store, path, hold_announcement(hold, bucket=store.bucket.name, now=datetime.now(UTC)))


def announce_comparison(config: Config, store: RecordStore, comparison: ComparisonSummary) -> None:
    """Announce the end of a comparison, as `announce` does a verdict; its tables are written by the run that ends it."""
    event = comparison_announcement(comparison, bucket=store.bucket.name, now=datetime.now(UTC))
    deliver(config, store, comparison_announcement_path(comparison), event, of_a_candidate=False)


def deliver(
    config: Config, store: RecordStore, path: str, written: Announcement, *, of_a_candidate: bool = True
) -> None:
    """Publish an event at least once by way of the outbox; as `announce`, for an event that announces no verdict."""
    event = store.create_or_read(path, written)
    if event is not written and (event.published_at is not None or store.publication(path) is not None):
        return
    if of_a_candidate:
        # Between the event and its publication: for whatever is published, the tables have heard of it.
        note_due(store, event.candidate)
    message_id = publish(config, event)
    note = Publication(candidate=event.candidate, written_at=datetime.now(UTC), message_id=message_id)
    store.create(publication_path(path), note)


def was_published(store: RecordStore, path: str) -> bool:
    """Return whether the event at `path` is there and was published."""
    event = store.read(path, Announcement)
    return event is not None and (event.published_at is not None or store.publication(path) is not None)


def publish(config: Config, event: Announcement) -> str:
    """Publish one completion event in the order of its candidate's events; return the message id.

    One message in one call of the generated client: the batches of the one above it would start threads.
    """
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.types import PubsubMessage

    publisher = publisher_client()
    message = PubsubMessage(
        data=payload(event.data),
        attributes=event.attributes,
        ordering_key=event.candidate,
    )
    try:
        with google_call(f"publish to {config.topics.completions}"):
            topic = publisher.topic_path(config.project, config.topics.completions)
            response = PublisherClient.publish(
                publisher,
                topic=topic,
                messages=[message],
                timeout=PUBLISH_TIMEOUT_SECONDS,
                retry=idempotent_retry().with_timeout(
                    PUBLISH_TIMEOUT_SECONDS
                ),  # the client's own goes on for ten minutes
            )
    finally:
        publisher.transport.close()
    return str(response.message_ids[0])
