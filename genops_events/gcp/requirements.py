"""What the cascade needs in a Google Cloud project, and what is wrong with what is there.

`genops doctor` reports it; `provision` creates and mends it. Both ask here, so that they never disagree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from genops_events.config import Config

ACK_DEADLINE_SECONDS = 30
MAX_DELIVERY_ATTEMPTS = 5
RETENTION_DAYS = 7
RETENTION_SECONDS = RETENTION_DAYS * 86_400
MINIMUM_BACKOFF_SECONDS = 1
MAXIMUM_BACKOFF_SECONDS = 60

DELETED_TOPIC = "_deleted-topic_"
"""What Pub/Sub shows as the topic of a subscription whose topic was deleted."""

OBJECT_PERMISSIONS = (
    "storage.objects.create",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.update",  # a sweep notes on the marker that it woke a candidate
    "storage.objects.delete",  # to overwrite an object is to delete it: ledger and champion change in place
)
"""What genops-events needs in the bucket; roles/storage.objectUser grants it."""

BUCKET_LOOK = "storage.buckets.get"
"""What it takes to see where the bucket is; roles/storage.objectUser does not grant it."""

TABLES_PROJECT_ROLES = ("roles/bigquery.dataEditor", "roles/bigquery.jobUser")
TABLES_BUCKET_ROLE = "roles/storage.legacyBucketReader"
"""What the tables in BigQuery need beside that: they are made, loaded and merged; their dataset is made where the bucket is.

Granted on the project, the first creates datasets (https://cloud.google.com/bigquery/docs/access-control, read 2026-12-01). No page of
Google's was found that says whether a load job itself asks for `storage.buckets.get`.
"""


def project_grant(config: Config, role: str) -> str:
    """Return the command that grants a role on the project; MEMBER stands for the account that genops runs as."""
    return f"gcloud projects add-iam-policy-binding {config.project} --member=MEMBER --role={role}"


def bucket_grant(config: Config, role: str) -> str:
    """Return the command that grants a role on the bucket."""
    return f"gcloud storage buckets add-iam-policy-binding gs://{config.bucket} --member=MEMBER --role={role}"


def tables_grants(config: Config) -> tuple[str, ...]:
    """Return the commands that grant what the tables in BigQuery need."""
    return (
        *(project_grant(config, role) for role in TABLES_PROJECT_ROLES),
        bucket_grant(config, TABLES_BUCKET_ROLE),
    )


def topic_name(config: Config, topic: str) -> str:
    """Return the full name of a topic of this project."""
    return f"projects/{config.project}/topics/{topic}"


def dead_letter_topic(config: Config) -> str:
    """Return the id of the topic, and of its subscription, that takes the notifications that cannot be read."""
    return f"{config.topics.arrivals}-dead-letters"


def notification_prefix(config: Config) -> str:
    """Return what all watched prefixes have in common: it keeps most of our own records from being announced."""
    return os.path.commonprefix([dataset.prefix for dataset in config.datasets.values()])  # noqa: RUF071 - names of objects, not paths


@dataclass(frozen=True, slots=True)
class Subscription:
    """What decides whether a subscription keeps every message until somebody pulls it."""

    topic: str
    """Full name."""
    ack_deadline_seconds: int = 10
    retention_seconds: int = RETENTION_SECONDS
    expires_after_seconds: int | None = None
    """Removed after so long without use; None for never."""
    dead_letter_topic: str | None = None
    """Full name."""
    filter: str = ""
    destination: str = ""
    """Where messages are pushed or exported to; empty where they are pulled."""
    detached: bool = False


def wanted_subscriptions(config: Config) -> dict[str, Subscription]:
    """Return the subscriptions that there must be, by id."""
    letters = dead_letter_topic(config)
    return {
        config.subscription: Subscription(
            topic=topic_name(config, config.topics.arrivals),
            ack_deadline_seconds=ACK_DEADLINE_SECONDS,
            dead_letter_topic=topic_name(config, letters),
        ),
        # Without a subscription, a topic keeps nothing: dead letters would vanish.
        letters: Subscription(topic=topic_name(config, letters)),
    }


@dataclass(frozen=True, slots=True)
class SubscriptionFault:
    """One setting of a subscription that is not as it must be."""

    setting: str
    """Its name in Pub/Sub's API."""
    found: str
    cause: str
    mending: Literal["update", "recreate"]
    """A subscription cannot change everything that it was created with."""
    grave: bool = True
    """Messages are lost or never come; otherwise they may be, one day."""


def subscription_faults(found: Subscription, wanted: Subscription, config: Config) -> Iterator[SubscriptionFault]:
    """Yield what keeps `found` from doing what `wanted` does."""
    if found.topic != wanted.topic:
        is_gone = found.topic == DELETED_TOPIC
        what = "its topic was deleted" if is_gone else f"it is subscribed to {found.topic}"
        yield SubscriptionFault("topic", what, f"It gets nothing of what is published to {wanted.topic}.", "recreate")
    if found.detached:
        yield SubscriptionFault(
            "detached", "it is detached from its topic", "A detached subscription gets nothing.", "recreate"
        )
    if found.filter and not is_harmless(found.filter, config):
        text = f"its filter is `{found.filter}`"
        yield SubscriptionFault("filter", text, "Messages that the filter keeps out are gone for good.", "recreate")
    if found.destination:
        mending: Literal["update", "recreate"] = "update" if found.destination.startswith("http") else "recreate"
        text = f"its messages go to {found.destination}"
        yield SubscriptionFault("push_config", text, "Nothing is left for the arrival trigger to pull.", mending)
    if found.ack_deadline_seconds < wanted.ack_deadline_seconds:
        yield SubscriptionFault(
            "ack_deadline_seconds",
            f"its ack deadline is {found.ack_deadline_seconds} s, not {wanted.ack_deadline_seconds} s",
            "Arrivals that Airflow is still storing are handed out again, over and over under load.",
            "update",
        )
    if wanted.dead_letter_topic is not None and found.dead_letter_topic != wanted.dead_letter_topic:
        is_none = found.dead_letter_topic is None
        yield SubscriptionFault(
            "dead_letter_policy",
            "it has no dead-letter policy" if is_none else f"its dead letters go to {found.dead_letter_topic}",
            "What cannot be stored is delivered for ever." if is_none else "`genops dead-letters` does not see them.",
            "update",
        )
    if found.retention_seconds < wanted.retention_seconds:
        yield SubscriptionFault(
            "message_retention_duration",
            f"it keeps messages for {_duration(found.retention_seconds)}, not {_duration(wanted.retention_seconds)}",
            "Arrivals of a longer outage are left to the sweep.",
            "update",
            grave=False,
        )
    if found.expires_after_seconds is not None:
        yield SubscriptionFault(
            "expiration_policy",
            f"it is removed after {_duration(found.expires_after_seconds)} without use",
            "After a long pause nothing arrives any more.",
            "update",
            grave=False,
        )


_HARMLESS = (
    re.compile(r'attributes\.eventType\s*=\s*"OBJECT_FINALIZE"'),
    re.compile(r'attributes\.bucketId\s*=\s*"(?P<bucket>[^"]*)"'),
    re.compile(r'hasPrefix\(\s*attributes\.objectId\s*,\s*"(?P<prefix>[^"]*)"\s*\)'),
)


def is_harmless(expression: str, config: Config) -> bool:
    """Tell whether a filter lets every notification of a watched prefix through; no, where that cannot be seen."""
    return all(_lets_through(clause.strip(), config) for clause in expression.split(" AND "))


def _lets_through(clause: str, config: Config) -> bool:
    bare = clause[1:-1].strip() if clause.startswith("(") and clause.endswith(")") else clause
    for pattern in _HARMLESS:
        match = pattern.fullmatch(bare)
        if match is not None:
            values = match.groupdict()
            prefix = values.get("prefix", "")
            is_ours = values.get("bucket", config.bucket) == config.bucket
            return is_ours and all(dataset.prefix.startswith(prefix) for dataset in config.datasets.values())
    return False


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification configuration of the bucket."""

    id: str
    topic: str
    """Full name."""
    event_types: Sequence[str]
    """Empty for all."""
    prefix: str

    def announces(self, prefix: str, topic: str) -> bool:
        """Tell whether every object that is finalized under `prefix` is announced on `topic`."""
        is_told = not self.event_types or FINALIZED in self.event_types
        return self.topic == topic and is_told and prefix.startswith(self.prefix)


def unannounced(notifications: Collection[Notification], config: Config) -> list[str]:
    """Return the watched prefixes whose arrivals no notification announces on the arrivals topic."""
    topic = topic_name(config, config.topics.arrivals)
    prefixes = sorted(dataset.prefix for dataset in config.datasets.values())
    return [one for one in prefixes if not any(each.announces(one, topic) for each in notifications)]


def announced_twice(notifications: Collection[Notification], config: Config) -> list[str]:
    """Return the watched prefixes whose arrivals more than one notification announces."""
    topic = topic_name(config, config.topics.arrivals)
    prefixes = sorted(dataset.prefix for dataset in config.datasets.values())
    return [one for one in prefixes if sum(each.announces(one, topic) for each in notifications) > 1]


def surplus(notifications: Collection[Notification], config: Config) -> list[Notification]:
    """Return the notifications, made as ours are, whose objects a wider or an older one of them announces, too."""
    topic = topic_name(config, config.topics.arrivals)
    ours = [one for one in notifications if one.topic == topic and is_as_ours(one)]
    ours.sort(key=breadth)
    return [one for number, one in enumerate(ours) if any(one.prefix.startswith(each.prefix) for each in ours[:number])]


def is_as_ours(notification: Notification) -> bool:
    """Tell whether a notification tells of new objects alone, as those do that `provision` creates."""
    return tuple(notification.event_types) == (FINALIZED,)


def breadth(notification: Notification) -> tuple[int, int, str]:
    """Return what orders notifications: the widest first, of equal ones the oldest."""
    return len(notification.prefix), len(notification.id), notification.id


def _duration(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


FINALIZED = "OBJECT_FINALIZE"
"""The event type of an object that is there as a whole."""
