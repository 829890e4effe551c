"""Create what the cascade needs in a project, and mend it: bucket, topics, subscriptions, rights and notification."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genops_events import cloud_setup
from genops_events.cloud_setup import ACK_DEADLINE_SECONDS, MAX_DELIVERY_ATTEMPTS, RETENTION_DAYS, dead_letter_topic
from genops_events.gcp import existing
from genops_events.gcp.access import grant, is_granted
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, publisher_client, storage_client, subscriber_client
from genops_events.gcp.dead_letters import carried_over
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud import storage
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    from genops_events.config import Config

__all__ = ["ACK_DEADLINE_SECONDS", "MAX_DELIVERY_ATTEMPTS", "RETENTION_DAYS", "Step", "provision", "steps"]

PROPAGATION_SECONDS = 120.0
"""How long a right may take until it counts everywhere
(https://cloud.google.com/iam/docs/access-change-propagation: typically two minutes)."""

_PUBLISHER = "roles/pubsub.publisher"
_SUBSCRIBER = "roles/pubsub.subscriber"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is missing or wrong."""

    what: str
    take: Callable[[], None]
    """Create or mend it. May be repeated, and taken by two at once."""


def provision(config: Config) -> list[str]:
    """Create what is missing and mend what `genops doctor` finds fault with; return what was created or changed.

    May be repeated, and interrupted at any point.
    """
    done = []
    for step in steps(config):
        step.take()
        done.append(step.what)
    return done


def steps(config: Config) -> Iterator[Step]:
    """Yield what is missing or wrong, in the order in which it can be put right.

    Whoever does not take a step sees what else there is to do; nothing is changed then.

    Raises:
        CloudRefused: this account may not look, or not change; what was done before stays.
        CloudUnavailable: no answer.
    """
    client = storage_client(config)
    with google_call(f"look at bucket {config.bucket}"):
        bucket = client.lookup_bucket(config.bucket, timeout=CALL_TIMEOUT_SECONDS)
    if bucket is None:
        yield Step(f"bucket {config.bucket}", partial(_create_bucket, client, config))
    agents = _Agents.of(client, config, bucket)
    letters = dead_letter_topic(config)
    publisher = publisher_client()
    try:
        for topic in (config.topics.arrivals, config.topics.completions, letters):
            if not existing.topic_exists(publisher, config.project, topic, timeout_seconds=CALL_TIMEOUT_SECONDS):
                yield Step(f"topic {topic}", partial(_create_topic, publisher, cloud_setup.topic_name(config, topic)))
        with subscriber_client() as subscriber:
            for name, settings in _wanted_subscriptions(config).items():
                yield from _subscription(subscriber, config, name, settings)
            path = subscriber.subscription_path(config.project, config.subscription)
            # Pub/Sub moves a dead letter as itself: it takes it from the subscription, and publishes it.
            forwards = _right(subscriber, path, _SUBSCRIBER, agents.of_pubsub)
            dies = _right(publisher, cloud_setup.topic_name(config, letters), _PUBLISHER, agents.of_pubsub)
            tells = _right(
                publisher, cloud_setup.topic_name(config, config.topics.arrivals), _PUBLISHER, agents.of_storage
            )
            for right in (forwards, dies, tells):
                yield from right
    finally:
        publisher.stop()
    yield from _notification(client, config, is_there=bucket is not None)


@dataclass(frozen=True, slots=True)
class _Agents:
    """The accounts that Google's services act as, as members of a policy."""

    of_storage: str
    """Publishes the bucket's notifications."""
    of_pubsub: str
    """Forwards dead letters."""

    @classmethod
    def of(cls, client: storage.Client, config: Config, bucket: storage.Bucket | None) -> _Agents:
        # Asking for it also makes Cloud Storage's account, where the project never used it.
        with google_call(f"ask for the service account of Cloud Storage in {config.project}"):
            email = str(client.get_service_account_email(project=config.project, timeout=CALL_TIMEOUT_SECONDS))
        number = re.match(r"service-(\d+)@", email)
        if number is None:
            raise ValueError(f"The service account of Cloud Storage has no project number in its name: {email}")
        # A bucket may belong to another project than the topics.
        owner = bucket.project_number if bucket is not None and bucket.project_number else number[1]
        return cls(
            f"serviceAccount:service-{owner}@gs-project-accounts.iam.gserviceaccount.com",
            f"serviceAccount:service-{number[1]}@gcp-sa-pubsub.iam.gserviceaccount.com",
        )


def _create_bucket(client: storage.Client, config: Config) -> None:
    from google.api_core.exceptions import Conflict

    bucket = client.bucket(config.bucket)
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    with google_call(f"create bucket {config.bucket}"):
        try:
            client.create_bucket(bucket, location=config.location, timeout=CALL_TIMEOUT_SECONDS)
        except Conflict:
            return  # created a moment ago, by somebody who does the same


def _create_topic(publisher: PublisherClient, path: str) -> None:
    from google.api_core.exceptions import AlreadyExists

    with google_call(f"create topic {path}"):
        try:
            publisher.create_topic(name=path, timeout=CALL_TIMEOUT_SECONDS)
        except AlreadyExists:
            return


def _wanted_subscriptions(config: Config) -> dict[str, dict[str, Any]]:
    topic = f"projects/{config.project}/topics/"
    return {
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


def _subscription(subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any]) -> Iterator[Step]:
    found = existing.subscription(subscriber, config.project, name, timeout_seconds=CALL_TIMEOUT_SECONDS)
    if found is None:
        yield Step(f"subscription {name}", partial(_create_subscription, subscriber, config, name, settings))
        return
    faults = list(cloud_setup.subscription_faults(found, cloud_setup.wanted_subscriptions(config)[name], config))
    if any(one.mending == "recreate" for one in faults):
        # What it holds is lost with it. A sweep finds such arrivals in the bucket; dead letters stand nowhere else.
        # A subscription that is detached or exports its messages has none to pull.
        holds_letters = name == dead_letter_topic(config) and not (found.detached or found.destination)
        take = partial(_recreate_subscription, subscriber, config, name, settings, holds_letters=holds_letters)
        yield Step(f"subscription {name}, anew: {_told(faults)}", take)
    elif faults:
        take = partial(_change_subscription, subscriber, config, name, settings, {one.setting for one in faults})
        yield Step(f"subscription {name}: {_told(faults)}", take)


def _told(faults: list[cloud_setup.Fault]) -> str:
    return "; ".join(one.found for one in faults)


def _create_subscription(subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any]) -> None:
    from google.api_core.exceptions import AlreadyExists

    path = subscriber.subscription_path(config.project, name)
    with google_call(f"create subscription {name}"):
        try:
            subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)
        except AlreadyExists:
            return


def _recreate_subscription(
    subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any], *, holds_letters: bool
) -> None:
    path = subscriber.subscription_path(config.project, name)
    with google_call(f"create subscription {name} anew"), carried_over(config) if holds_letters else nullcontext():
        subscriber.delete_subscription(request={"subscription": path}, timeout=CALL_TIMEOUT_SECONDS)
        subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)


def _change_subscription(
    subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any], changed: set[str]
) -> None:
    path = subscriber.subscription_path(config.project, name)
    subscription = {"name": path, **{setting: settings.get(setting, {}) for setting in changed}}
    with google_call(f"change subscription {name}"):
        subscriber.update_subscription(
            request={"subscription": subscription, "update_mask": {"paths": sorted(changed)}},
            timeout=CALL_TIMEOUT_SECONDS,
        )


def _right(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> Iterator[Step]:
    if not is_granted(client, resource, role, member):
        what = resource.partition("/")[2].partition("/")[2].replace("s/", " ", 1)
        yield Step(f"{role} on {what} for {member}", partial(grant, client, resource, role, member))


def _notification(client: storage.Client, config: Config, *, is_there: bool) -> Iterator[Step]:
    """Yield one notification for all that is watched; a bucket may have only ten of a kind."""
    bucket = client.bucket(config.bucket)
    found = existing.notifications(bucket, timeout_seconds=CALL_TIMEOUT_SECONDS) if is_there else []
    if cloud_setup.unannounced(found, config):
        yield Step(f"notification to {config.topics.arrivals}", partial(_create_notification, bucket, config))


def _create_notification(bucket: storage.Bucket, config: Config) -> None:
    from google.api_core import exceptions, retry

    notification = bucket.notification(
        topic_name=config.topics.arrivals,
        topic_project=config.project,
        event_types=["OBJECT_FINALIZE"],
        blob_name_prefix=cloud_setup.notification_prefix(config) or None,
        payload_format="JSON_API_V1",
    )
    # Cloud Storage looks whether it may publish there, and may not know yet that it has just been allowed to.
    until_known = retry.Retry(
        predicate=retry.if_exception_type(exceptions.Forbidden), initial=1.0, maximum=10.0, timeout=PROPAGATION_SECONDS
    )
    with google_call(f"create the notification of bucket {config.bucket}"):
        until_known(notification.create)(timeout=CALL_TIMEOUT_SECONDS)
