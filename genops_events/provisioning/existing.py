"""Read how what the cascade needs is set up in the project; None is absent, unreadable raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genops_events.gcp.errors import google_call
from genops_events.gcp.requirements import Notification, Subscription

if TYPE_CHECKING:
    from google.cloud import storage
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

_DEFAULT_EXPIRATION_SECONDS = 31 * 86_400


def subscription(client: SubscriberClient, project: str, name: str, *, timeout_seconds: float) -> Subscription | None:
    """Return a subscription as it is, or None where there is none; asked once, without retries."""
    from google.api_core.exceptions import NotFound

    path = client.subscription_path(project, name)
    with google_call(f"look at subscription {name}"):
        try:
            found = client.get_subscription(request={"subscription": path}, timeout=timeout_seconds, retry=None)
        except NotFound:
            return None
    return _subscription(found)


def topic_exists(client: PublisherClient, project: str, name: str, *, timeout_seconds: float) -> bool:
    """Tell whether there is a topic of this name; asked once, without retries."""
    from google.api_core.exceptions import NotFound

    with google_call(f"look at topic {name}"):
        try:
            client.get_topic(request={"topic": client.topic_path(project, name)}, timeout=timeout_seconds, retry=None)
        except NotFound:
            return False
    return True


def notifications(bucket: storage.Bucket, *, timeout_seconds: float) -> list[Notification]:
    """Return the notification configurations of a bucket; asked once, without retries."""
    with google_call(f"list the notifications of bucket {bucket.name}"):
        return [
            Notification(
                id=str(one.notification_id),
                topic=f"projects/{one.topic_project}/topics/{one.topic_name}",
                event_types=tuple(one.event_types or ()),
                prefix=one.blob_name_prefix or "",
            )
            for one in bucket.list_notifications(timeout=timeout_seconds, retry=None)
        ]


def _subscription(found: Any) -> Subscription:
    destination = found.push_config.push_endpoint
    for export, what in (
        ("bigquery_config", "BigQuery"),
        ("cloud_storage_config", "Cloud Storage"),
        ("bigtable_config", "Bigtable"),
    ):
        if not destination and export in found:
            destination = what
    expires: int | None = _DEFAULT_EXPIRATION_SECONDS
    if "expiration_policy" in found:
        # A policy without a time says: never.
        expires = int(found.expiration_policy.ttl.total_seconds()) if "ttl" in found.expiration_policy else None
    return Subscription(
        topic=found.topic,
        ack_deadline_seconds=found.ack_deadline_seconds,
        retention_seconds=int(found.message_retention_duration.total_seconds()),
        expires_after_seconds=expires,
        dead_letter_topic=found.dead_letter_policy.dead_letter_topic if "dead_letter_policy" in found else None,
        filter=found.filter,
        destination=destination,
        detached=found.detached,
    )
