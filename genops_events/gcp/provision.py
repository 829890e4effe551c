"""Create what the cascade needs in a project, and mend it: bucket, topics, subscription and notification."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from genops_events import cloud_setup
from genops_events.cloud_setup import ACK_DEADLINE_SECONDS, MAX_DELIVERY_ATTEMPTS, RETENTION_DAYS, dead_letter_topic
from genops_events.gcp import existing
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, publisher_client, storage_client, subscriber_client
from genops_events.gcp.dead_letters import carried_over
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient

    from genops_events.config import Config

__all__ = ["ACK_DEADLINE_SECONDS", "MAX_DELIVERY_ATTEMPTS", "RETENTION_DAYS", "dead_letter_topic", "provision"]


def provision(config: Config) -> list[str]:
    """Create what is missing and mend what `genops doctor` finds fault with; return what was created or changed.

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
            "message_retention_duration": {"seconds": cloud_setup.RETENTION_SECONDS},
            "dead_letter_policy": {
                "dead_letter_topic": topic + dead_letter_topic(config),
                "max_delivery_attempts": MAX_DELIVERY_ATTEMPTS,
            },
            "retry_policy": {
                "minimum_backoff": {"seconds": cloud_setup.MINIMUM_BACKOFF_SECONDS},
                "maximum_backoff": {"seconds": cloud_setup.MAXIMUM_BACKOFF_SECONDS},
            },
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
                    if not _mended(subscriber, config, name, settings):
                        continue
            created.append(f"subscription {name}")
    return created


def _mended(subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any]) -> bool:
    """Change what keeps an existing subscription from keeping every message; return whether there was anything."""
    found = existing.subscription(subscriber, config.project, name, timeout_seconds=CALL_TIMEOUT_SECONDS)
    if found is None:
        return False
    faults = list(cloud_setup.subscription_faults(found, cloud_setup.wanted_subscriptions(config)[name], config))
    path = subscriber.subscription_path(config.project, name)
    if any(one.mending == "recreate" for one in faults):
        # What it holds is lost with it. A sweep finds such arrivals in the bucket; dead letters stand nowhere else.
        # A subscription that is detached or exports its messages has none to pull.
        holds_letters = name == dead_letter_topic(config) and not (found.detached or found.destination)
        with carried_over(config) if holds_letters else nullcontext():
            subscriber.delete_subscription(request={"subscription": path}, timeout=CALL_TIMEOUT_SECONDS)
            subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)
    elif faults:
        changed = {one.setting for one in faults}
        subscription = {"name": path, **{setting: settings.get(setting, {}) for setting in changed}}
        subscriber.update_subscription(
            request={"subscription": subscription, "update_mask": {"paths": sorted(changed)}},
            timeout=CALL_TIMEOUT_SECONDS,
        )
    return bool(faults)


def _notification(config: Config) -> list[str]:
    """Create one notification for all that is watched; a bucket may have only ten of a kind."""
    bucket = storage_client(config).bucket(config.bucket)
    prefix = cloud_setup.notification_prefix(config)
    found = existing.notifications(bucket, timeout_seconds=CALL_TIMEOUT_SECONDS)
    if not cloud_setup.unannounced(found, config):
        return []
    with google_call(f"create the notification of bucket {config.bucket}"):
        notification = bucket.notification(
            topic_name=config.topics.arrivals,
            topic_project=config.project,
            event_types=["OBJECT_FINALIZE"],
            blob_name_prefix=prefix or None,
            payload_format="JSON_API_V1",
        )
        notification.create(timeout=CALL_TIMEOUT_SECONDS)
    return [f"notification to {config.topics.arrivals}"]
