"""Create what the cascade needs in a project: bucket, topics, subscription and notification."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, publisher_client, storage_client, subscriber_client
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from genops_events.config import Config

ACK_DEADLINE_SECONDS = 60
MAX_DELIVERY_ATTEMPTS = 5
RETENTION_DAYS = 7


def dead_letter_topic(config: Config) -> str:
    """Return the id of the topic that takes the notifications that cannot be read."""
    return f"{config.topics.arrivals}-dead-letters"


def provision(config: Config) -> list[str]:
    """Create what is missing, leave what is there; return the names of what was created.

    May be repeated, and interrupted at any point.
    """
    return [*_bucket(config), *_topics(config), *_subscription(config), *_notification(config)]


def _bucket(config: Config) -> list[str]:
    from google.api_core.exceptions import Conflict

    client = storage_client(config)
    with google_call(f"create bucket {config.bucket}"):
        try:
            client.create_bucket(config.bucket, location=config.location, timeout=CALL_TIMEOUT_SECONDS)
        except Conflict:
            return []
    return [f"bucket {config.bucket}"]


def _topics(config: Config) -> list[str]:
    from google.api_core.exceptions import AlreadyExists

    created = []
    publisher = publisher_client()
    try:
        for topic in (config.topics.arrivals, config.topics.completions, dead_letter_topic(config)):
            with google_call(f"create topic {topic}"):
                try:
                    publisher.create_topic(
                        name=publisher.topic_path(config.project, topic), timeout=CALL_TIMEOUT_SECONDS
                    )
                except AlreadyExists:
                    continue
            created.append(f"topic {topic}")
    finally:
        publisher.stop()
    return created


def _subscription(config: Config) -> list[str]:
    from google.api_core.exceptions import AlreadyExists

    topic = f"projects/{config.project}/topics/"
    wanted: dict[str, dict[str, Any]] = {
        config.subscription: {
            "topic": topic + config.topics.arrivals,
            "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
            "message_retention_duration": {"seconds": RETENTION_DAYS * 86400},
            "dead_letter_policy": {
                "dead_letter_topic": topic + dead_letter_topic(config),
                "max_delivery_attempts": MAX_DELIVERY_ATTEMPTS,
            },
            "retry_policy": {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 60}},
            "expiration_policy": {},  # never: an idle month must not remove the way in
        },
        # Without a subscription, a topic keeps nothing: dead letters would vanish.
        dead_letter_topic(config): {"topic": topic + dead_letter_topic(config), "expiration_policy": {}},
    }
    created = []
    with subscriber_client() as subscriber:
        for name, settings in wanted.items():
            path = subscriber.subscription_path(config.project, name)
            with google_call(f"create subscription {name}"):
                try:
                    subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)
                except AlreadyExists:
                    continue
            created.append(f"subscription {name}")
    return created


def _notification(config: Config) -> list[str]:
    """Create one notification for all that is watched; a bucket may have only ten of a kind."""
    bucket = storage_client(config).bucket(config.bucket)
    # What all prefixes have in common keeps most of our own records from being announced.
    prefix = os.path.commonprefix([dataset.prefix for dataset in config.datasets.values()])  # noqa: RUF071 - names of objects, not paths
    with google_call(f"create the notification of bucket {config.bucket}"):
        for existing in bucket.list_notifications(timeout=CALL_TIMEOUT_SECONDS):
            ours = existing.topic_name == config.topics.arrivals and existing.topic_project == config.project
            if ours and prefix.startswith(existing.blob_name_prefix or ""):
                return []
        notification = bucket.notification(
            topic_name=config.topics.arrivals,
            topic_project=config.project,
            event_types=["OBJECT_FINALIZE"],
            blob_name_prefix=prefix or None,
            payload_format="JSON_API_V1",
        )
        notification.create(timeout=CALL_TIMEOUT_SECONDS)
    return [f"notification to {config.topics.arrivals}"]
