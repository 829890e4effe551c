"""Create what the cascade needs in a project, and mend it: bucket, topics, subscriptions, rights and notification."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from genops_events.errors import PermanentError
from genops_events.gcp import requirements
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, publisher_client, storage_client, subscriber_client
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gcp.requirements import (
    ACK_DEADLINE_SECONDS,
    MAX_DELIVERY_ATTEMPTS,
    RETENTION_DAYS,
    dead_letter_topic,
)
from genops_events.provisioning import existing
from genops_events.provisioning.access import grant, is_granted, policy_of
from genops_events.provisioning.resubscribing import kept, recreate, restore

if TYPE_CHECKING:
    from google.cloud import storage
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    from genops_events.config import Config

__all__ = ["ACK_DEADLINE_SECONDS", "MAX_DELIVERY_ATTEMPTS", "RETENTION_DAYS", "ProvisioningStep", "provision", "steps"]

PROPAGATION_SECONDS = 120.0
"""How long a right, or an account that Google has just made, may take until it counts everywhere
(https://cloud.google.com/iam/docs/access-change-propagation: typically two minutes)."""

_PUBLISHER = "roles/pubsub.publisher"
_SUBSCRIBER = "roles/pubsub.subscriber"
_AGENT_OF_STORAGE = "gs-project-accounts"
_AGENT_OF_PUBSUB = "gcp-sa-pubsub"
_BAD_REQUEST, _FORBIDDEN = 400, 403


class AgentMissing(PermanentError):
    """An account that a service of Google acts as does not exist, so it can be granted nothing."""


@dataclass(frozen=True, slots=True)
class ProvisioningStep:
    """Something that is missing or wrong."""

    what: str
    take: Callable[[], None]
    """Create or mend it. May be repeated."""


def provision(config: Config) -> list[str]:
    """Create what is missing and mend what `genops doctor` finds fault with; return what was created or changed.

    May be repeated, and interrupted at any point.
    """
    done = []
    for step in steps(config):
        step.take()
        done.append(step.what)
    return done


def steps(config: Config) -> Iterator[ProvisioningStep]:
    """Yield what is missing or wrong, in the order in which it can be put right.

    A caller that does not take a step sees what else there is to do; nothing is changed then, but that Cloud Storage makes the
    account that it publishes as, where the project never used it.

    Raises:
        CloudRefused: this account may not look, or not change; what was done before stays.
        CloudUnavailable: no answer.
    """
    client = storage_client(config)
    found = _look_at_bucket(client, config)
    if found is None:
        yield ProvisioningStep(f"bucket {config.bucket}", partial(_create_bucket, client, config))
    agents = _Agents.of(client, config, found)
    letters = dead_letter_topic(config)
    bucket, is_there = client.bucket(config.bucket), found is not None
    publisher = publisher_client()
    try:
        for topic in (config.topics.arrivals, config.topics.completions, letters):
            if not existing.topic_exists(publisher, config.project, topic, timeout_seconds=CALL_TIMEOUT_SECONDS):
                yield ProvisioningStep(
                    f"topic {topic}", partial(_create_topic, publisher, requirements.topic_name(config, topic))
                )
        with subscriber_client() as subscriber:
            yield from _subscriptions(subscriber, bucket, config, is_there=is_there)
            # First what arrivals need; then what Pub/Sub needs for dead letters, which it moves as itself: it takes them
            # from the subscription, and publishes them.
            yield from _right(publisher, requirements.topic_name(config, config.topics.arrivals), agents.of_storage)
            yield from _notification(bucket, config, is_there=is_there)
            yield from _right(publisher, requirements.topic_name(config, letters), agents.of_pubsub)
            path = subscriber.subscription_path(config.project, config.subscription)
            yield from _right(subscriber, path, agents.of_pubsub, role=_SUBSCRIBER)
    finally:
        publisher.stop()


# ── the bucket ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _look_at_bucket(client: storage.Client, config: Config) -> storage.Bucket | None:
    try:
        with google_call(f"look at bucket {config.bucket}"):
            return client.lookup_bucket(config.bucket, timeout=CALL_TIMEOUT_SECONDS)
    except CloudRefused as error:
        if error.status == _FORBIDDEN:
            error.hint += (
                " Buckets have names of their own in all of Google Cloud: is it somebody else's? Then change `bucket`."
            )
        raise


def _create_bucket(client: storage.Client, config: Config) -> None:
    from google.api_core.exceptions import Conflict

    bucket = client.bucket(config.bucket)
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    with google_call(f"create bucket {config.bucket}"):
        try:
            client.create_bucket(bucket, location=config.location, timeout=CALL_TIMEOUT_SECONDS)
        except Conflict:
            return  # created a moment ago, by somebody who does the same


def _notification(bucket: storage.Bucket, config: Config, *, is_there: bool) -> Iterator[ProvisioningStep]:
    """Yield one notification for all that is watched, and those that it makes superfluous; a bucket may have only ten."""
    found = existing.notifications(bucket, timeout_seconds=CALL_TIMEOUT_SECONDS) if is_there else []
    if requirements.unannounced(found, config):
        yield ProvisioningStep(
            f"notification to {config.topics.arrivals}", partial(_create_notification, bucket, config)
        )
        if is_there:
            found = existing.notifications(bucket, timeout_seconds=CALL_TIMEOUT_SECONDS)
    for one in requirements.surplus(found, config):
        what = f"one notification less: {one.id} (`{one.prefix}`) announces what another does"
        yield ProvisioningStep(what, partial(_remove_notification, bucket, one.id))


def _create_notification(bucket: storage.Bucket, config: Config) -> None:
    from google.api_core import exceptions, retry

    notification = bucket.notification(
        topic_name=config.topics.arrivals,
        topic_project=config.project,
        event_types=["OBJECT_FINALIZE"],
        blob_name_prefix=requirements.notification_prefix(config) or None,
        payload_format="JSON_API_V1",
    )

    def is_not_known_yet(error: BaseException) -> bool:
        # Cloud Storage looks whether it may publish there, and may not know yet that it has just been allowed to. It says
        # so with 403 or 400, and names its own account; of a person who may not create notifications it names theirs.
        kinds = (exceptions.Forbidden, exceptions.BadRequest)
        return isinstance(error, kinds) and _AGENT_OF_STORAGE in str(error)

    until_known = retry.Retry(predicate=is_not_known_yet, initial=1.0, maximum=10.0, timeout=PROPAGATION_SECONDS)
    with google_call(f"create the notification of bucket {config.bucket}"):
        try:
            until_known(notification.create)(timeout=CALL_TIMEOUT_SECONDS)
        except exceptions.RetryError as error:
            raise error.cause or error from error


def _remove_notification(bucket: storage.Bucket, number: str) -> None:
    from google.api_core.exceptions import NotFound

    with google_call(f"remove notification {number} of bucket {bucket.name}"):
        try:
            bucket.get_notification(number, timeout=CALL_TIMEOUT_SECONDS).delete(timeout=CALL_TIMEOUT_SECONDS)
        except NotFound:
            return


# ── topics and subscriptions ─────────────────────────────────────────────────────────────────────────────────────────


def _create_topic(publisher: PublisherClient, path: str) -> None:
    from google.api_core.exceptions import AlreadyExists

    with google_call(f"create topic {path}"):
        try:
            publisher.create_topic(name=path, timeout=CALL_TIMEOUT_SECONDS)
        except AlreadyExists:
            return


def _wanted_subscriptions(config: Config) -> dict[str, dict[str, Any]]:
    letters = dead_letter_topic(config)
    common = {
        "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
        "message_retention_duration": {"seconds": requirements.RETENTION_SECONDS},
        "expiration_policy": {},  # never: an idle month must not remove the way in
    }
    return {
        config.subscription: {
            **common,
            "topic": requirements.topic_name(config, config.topics.arrivals),
            "dead_letter_policy": {
                "dead_letter_topic": requirements.topic_name(config, letters),
                "max_delivery_attempts": MAX_DELIVERY_ATTEMPTS,
            },
            "retry_policy": {
                "minimum_backoff": {"seconds": requirements.MINIMUM_BACKOFF_SECONDS},
                "maximum_backoff": {"seconds": requirements.MAXIMUM_BACKOFF_SECONDS},
            },
        },
        # Without a subscription, a topic keeps nothing: dead letters would vanish.
        letters: {**common, "topic": requirements.topic_name(config, letters)},
    }


def _subscriptions(
    subscriber: SubscriberClient, bucket: storage.Bucket, config: Config, *, is_there: bool
) -> Iterator[ProvisioningStep]:
    wanted = _wanted_subscriptions(config)
    for name, settings in wanted.items():
        found = existing.subscription(subscriber, config.project, name, timeout_seconds=CALL_TIMEOUT_SECONDS)
        if found is None:
            yield ProvisioningStep(
                f"subscription {name}", partial(_create_subscription, subscriber, config, name, settings)
            )
            continue
        faults = list(requirements.subscription_faults(found, requirements.wanted_subscriptions(config)[name], config))
        told = "; ".join(one.found for one in faults)
        if any(one.mending == "recreate" for one in faults):
            # One that is detached or exports its messages has none to pull.
            holds_letters = name == dead_letter_topic(config) and not (found.detached or found.destination)
            take = partial(recreate, config, bucket, subscriber, name, settings, holds_letters=holds_letters)
            yield ProvisioningStep(f"subscription {name}, anew: {told}", take)
        elif faults:
            take = partial(_change_subscription, subscriber, config, name, settings, {one.setting for one in faults})
            yield ProvisioningStep(f"subscription {name}: {told}", take)
    for name in sorted(wanted.keys() & kept(bucket)) if is_there else ():
        what = f"what subscription {name} held, and who may use it: kept since it was made anew"
        yield ProvisioningStep(what, partial(restore, config, bucket, subscriber, name))


def _create_subscription(subscriber: SubscriberClient, config: Config, name: str, settings: dict[str, Any]) -> None:
    from google.api_core.exceptions import AlreadyExists

    path = subscriber.subscription_path(config.project, name)
    with google_call(f"create subscription {name}"):
        try:
            subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)
        except AlreadyExists:
            return


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


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────────────────────


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
            f"serviceAccount:service-{owner}@{_AGENT_OF_STORAGE}.iam.gserviceaccount.com",
            f"serviceAccount:service-{number[1]}@{_AGENT_OF_PUBSUB}.iam.gserviceaccount.com",
        )


def _right(
    client: PublisherClient | SubscriberClient, resource: str, member: str, *, role: str = _PUBLISHER
) -> Iterator[ProvisioningStep]:
    policy = policy_of(client, resource)
    if policy is None or not is_granted(policy, role, member):
        _, _, kind, name = resource.split("/")
        what = f"{role} on {kind.removesuffix('s')} {name} for {member}"
        yield ProvisioningStep(what, partial(_grant, client, resource, role, member))


def _grant(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> None:
    from google.api_core.exceptions import RetryError
    from google.api_core.retry import Retry
    from google.iam.v1.policy_pb2 import Binding

    def is_missing(error: BaseException) -> bool:
        return isinstance(error, CloudRefused) and error.status == _BAD_REQUEST and "does not exist" in error.message

    until_made = Retry(predicate=is_missing, initial=1.0, maximum=10.0, timeout=PROPAGATION_SECONDS)
    try:
        until_made(grant)(client, resource, [Binding(role=role, members=[member])])
    except RetryError as error:
        service = "storage" if _AGENT_OF_STORAGE in member else "pubsub"
        raise AgentMissing(
            str(error.cause),
            "Google makes this account when its service is first used. Make it now, and repeat this: "
            f"`gcloud beta services identity create --service={service}.googleapis.com --project={resource.split('/')[1]}`",
        ) from error
