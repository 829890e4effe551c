"""What may be in a topic, a subscription and a message; what is not given gets Google's defaults."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.delivery import DeliveryRules
from gcp_stand_ins.pubsub.errors import invalid, unimplemented
from gcp_stand_ins.pubsub.filters import FilterError, parse
from gcp_stand_ins.pubsub.names import checked_name

DAY_SECONDS = 86_400
DEFAULT_RETENTION_SECONDS = 7 * DAY_SECONDS
SNAPSHOT_SECONDS = 7 * DAY_SECONDS
DEFAULT_EXPIRATION_SECONDS = 31 * DAY_SECONDS
DEFAULT_ACK_DEADLINE_SECONDS = 10
DEFAULT_DELIVERY_ATTEMPTS = 5
MAX_REQUEST_MESSAGES = 1000

_TOPIC_CHANGES = {"labels", "message_retention_duration", "message_storage_policy", "kms_key_name", "tags"}
_SUBSCRIPTION_CHANGES = {
    "ack_deadline_seconds",
    "dead_letter_policy",
    "enable_exactly_once_delivery",
    "expiration_policy",
    "labels",
    "message_retention_duration",
    "push_config",
    "retain_acked_messages",
    "retry_policy",
    "tags",
}
_SNAPSHOT_CHANGES = {"labels", "expire_time"}


def checked_topic(topic: Any) -> Any:
    """Return `topic` if it can be served.

    Raises:
        ApiError: INVALID_ARGUMENT, or UNIMPLEMENTED for what the stand-in has not.
    """
    checked_name(topic.name, "topics")
    _refuse_fields(topic, "schema_settings", "ingestion_data_source_settings", "message_transforms")
    if topic.HasField("message_retention_duration"):
        _checked_duration("message_retention_duration", topic.message_retention_duration, 600, 31 * DAY_SECONDS)
    topic.state = wire.Topic.State.ACTIVE
    return topic


def checked_subscription(subscription: Any) -> Any:
    """Return `subscription` with defaults filled in, if it can be served.

    Raises:
        ApiError: INVALID_ARGUMENT, or UNIMPLEMENTED for what the stand-in has not.
    """
    checked_name(subscription.name, "subscriptions")
    _refuse_fields(subscription, "bigquery_config", "cloud_storage_config", "bigtable_config", "message_transforms")
    refuse_push(subscription.push_config)
    seconds = subscription.ack_deadline_seconds or DEFAULT_ACK_DEADLINE_SECONDS
    if not DEFAULT_ACK_DEADLINE_SECONDS <= seconds <= 600:  # noqa: PLR2004 - Google's limit
        raise invalid(f"Invalid ack deadline given (ack_deadline_seconds={seconds}): it must be between 10 and 600.")
    subscription.ack_deadline_seconds = seconds
    retention = subscription.message_retention_duration
    if not subscription.HasField("message_retention_duration"):
        retention.seconds = DEFAULT_RETENTION_SECONDS
    _checked_duration("message_retention_duration", retention, 600, 31 * DAY_SECONDS)
    if not subscription.HasField("expiration_policy"):
        subscription.expiration_policy.ttl.seconds = DEFAULT_EXPIRATION_SECONDS
    try:
        parse(subscription.filter)
    except FilterError as error:
        raise invalid(f"Invalid filter: {error}.") from error
    _check_dead_letters(subscription)
    _check_retries(subscription)
    subscription.ClearField("topic_message_retention_duration")  # output only, as are these:
    subscription.state = wire.Subscription.State.ACTIVE
    return subscription


def refuse_push(push_config: Any) -> None:
    """Refuse a push endpoint: this stand-in is for pull.

    Raises:
        ApiError: UNIMPLEMENTED.
    """
    if push_config.push_endpoint:
        raise unimplemented(f"push delivery (push_endpoint={push_config.push_endpoint}); pull instead")


def delivery_rules(subscription: Any) -> DeliveryRules:
    """Return what of a checked subscription decides delivery."""
    if not subscription.HasField("retry_policy"):
        return DeliveryRules(ordering=subscription.enable_message_ordering)
    policy = subscription.retry_policy
    return DeliveryRules(
        ordering=subscription.enable_message_ordering,
        minimum_backoff=policy.minimum_backoff.ToNanoseconds() / 1e9,
        maximum_backoff=policy.maximum_backoff.ToNanoseconds() / 1e9,
    )


def updated_topic(current: Any, change: Any, mask: FieldMask) -> Any:
    """Return `current` with the fields of `mask` taken from `change`.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    return checked_topic(_merged(current, change, mask, _TOPIC_CHANGES))


def updated_subscription(current: Any, change: Any, mask: FieldMask) -> Any:
    """Return `current` with the fields of `mask` taken from `change`.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    return checked_subscription(_merged(current, change, mask, _SUBSCRIPTION_CHANGES))


def updated_snapshot(current: Any, change: Any, mask: FieldMask) -> Any:
    """Return `current` with the fields of `mask` taken from `change`.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    return _merged(current, change, mask, _SNAPSHOT_CHANGES)


def check_messages(messages: Collection[Any]) -> None:
    """Refuse a publication that the service would refuse.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    if not 0 < len(messages) <= MAX_REQUEST_MESSAGES:
        raise invalid(f"A publish request carries 1 to {MAX_REQUEST_MESSAGES} messages; this one has {len(messages)}.")
    for number, message in enumerate(messages):
        attributes = message.attributes
        if not message.data and not attributes:
            raise invalid(f"Message {number} is empty: it must contain either non-empty data or one attribute.")
        if len(message.ordering_key) > 1024:  # noqa: PLR2004 - Google's limit, as those below
            raise invalid(f"The ordering key of message {number} is longer than 1024 bytes.")
        if len(attributes) > 100:  # noqa: PLR2004
            raise invalid(f"Message {number} has {len(attributes)} attributes; at most 100 are allowed.")
        for key, value in attributes.items():
            if not key or len(key) > 256 or key.startswith("goog") or len(value.encode()) > 1024:  # noqa: PLR2004
                raise invalid(
                    f"Attribute {key[:300]!r} of message {number} is not allowed: a key has 1 to 256 bytes and does not "
                    "start with goog, a value has at most 1024 bytes."
                )


def _merged(current: Any, change: Any, mask: FieldMask, allowed: set[str]) -> Any:
    if not mask.paths:
        raise invalid("The update_mask in the request is empty: it must name the fields to change.")
    for path in mask.paths:
        if path.split(".")[0] not in allowed:
            raise invalid(
                f"Invalid update_mask provided in the request: {path!r} is not a known or mutable field. "
                f"Mutable fields: {', '.join(sorted(allowed))}."
            )
    merged = type(current)()
    merged.CopyFrom(current)
    try:
        mask.MergeMessage(change, merged, replace_message_field=True, replace_repeated_field=True)
    except ValueError as error:
        raise invalid(f"Invalid update_mask provided in the request: {error}.") from error
    return merged


def _check_dead_letters(subscription: Any) -> None:
    if not subscription.HasField("dead_letter_policy"):
        return
    policy = subscription.dead_letter_policy
    checked_name(policy.dead_letter_topic, "topics")
    attempts = policy.max_delivery_attempts or DEFAULT_DELIVERY_ATTEMPTS
    if not DEFAULT_DELIVERY_ATTEMPTS <= attempts <= 100:  # noqa: PLR2004 - Google's limit
        raise invalid(f"Invalid dead letter policy (max_delivery_attempts={attempts}): it must be between 5 and 100.")
    policy.max_delivery_attempts = attempts


def _check_retries(subscription: Any) -> None:
    if not subscription.HasField("retry_policy"):
        return
    policy = subscription.retry_policy
    for name, default in (("minimum_backoff", 10), ("maximum_backoff", 600)):
        if not policy.HasField(name):
            getattr(policy, name).seconds = default
        _checked_duration(f"retry_policy.{name}", getattr(policy, name), 0, 600)
    if policy.minimum_backoff.ToNanoseconds() > policy.maximum_backoff.ToNanoseconds():
        raise invalid("Invalid retry policy: minimum_backoff is longer than maximum_backoff.")


def _checked_duration(field: str, duration: Any, least_seconds: int, most_seconds: int) -> None:
    seconds = duration.ToNanoseconds() / 1e9
    if not least_seconds <= seconds <= most_seconds:
        raise invalid(
            f"Invalid {field} ({seconds:g} s): it must be between {least_seconds} and {most_seconds} seconds."
        )


def _refuse_fields(resource: Any, *fields: str) -> None:
    for field, _ in resource.ListFields():
        if field.name in fields:
            raise unimplemented(f"the field {field.name} of {resource.name}")
