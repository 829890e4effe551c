"""What may be in a topic, a subscription and a message; what is not given gets Google's defaults."""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gcp_stand_ins.pubsub import wire
from gcp_stand_ins.pubsub.delivery import DeliveryRules
from gcp_stand_ins.pubsub.errors import ApiError, invalid, unimplemented
from gcp_stand_ins.pubsub.filters import FilterError, parse
from gcp_stand_ins.pubsub.names import checked_name

DAY_SECONDS = 86_400
DEFAULT_RETENTION_SECONDS = 7 * DAY_SECONDS
SNAPSHOT_SECONDS = 7 * DAY_SECONDS
DEFAULT_EXPIRATION_SECONDS = 31 * DAY_SECONDS
DEFAULT_ACK_DEADLINE_SECONDS = 10
DEFAULT_DELIVERY_ATTEMPTS = 5

# Limits of messages: https://cloud.google.com/pubsub/quotas#resource_limits (read 2026-12-01). All are in bytes: of an attribute
# https://github.com/googleapis/java-pubsub/issues/2312, of a request https://github.com/googleapis/google-cloud-python/issues/5898.
MAX_REQUEST_MESSAGES = 1000
MAX_REQUEST_BYTES = 10_000_000
MAX_ATTRIBUTES = 100
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 1024
MAX_ORDERING_KEY_BYTES = 1024
_RESERVED = "goog"
_OF_CLIENTS = "googclient_"
"""What Google's own clients begin names with: google-cloud-pubsub's `open_telemetry/context_propagation.py`, read 2026-12-01."""

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


def check_publication(request: Any) -> None:
    """Refuse a publication that the service would refuse.

    Args:
        request: a protobuf `PublishRequest`. A message is never larger than its request, whose limit is the same.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    count, size = len(request.messages), request.ByteSize()
    if not count:
        raise invalid("A publish request carries at least one message.")
    if count > MAX_REQUEST_MESSAGES:
        raise _too_large("message_count", count, MAX_REQUEST_MESSAGES)
    if size > MAX_REQUEST_BYTES:
        raise _too_large("request_size", size, MAX_REQUEST_BYTES)
    for number, message in enumerate(request.messages):
        if not message.data and not message.attributes:
            raise invalid(f"Message {number} is empty: it must contain either non-empty data or one attribute.")
        if len(message.ordering_key.encode()) > MAX_ORDERING_KEY_BYTES:
            raise invalid(f"The ordering key of message {number} is longer than {MAX_ORDERING_KEY_BYTES} bytes.")
        if len(message.attributes) > MAX_ATTRIBUTES:
            raise invalid(
                f"Message {number} has {len(message.attributes)} attributes; at most {MAX_ATTRIBUTES} are allowed."
            )
        for key, value in message.attributes.items():
            _check_attribute(key, value)


def _check_attribute(key: str, value: str) -> None:
    if not key or (key.startswith(_RESERVED) and not key.startswith(_OF_CLIENTS)):
        raise invalid(
            f"The attribute {key!r} is not allowed: its name must not be empty, and not begin with {_RESERVED}."
        )
    for what, name, text, most in (("key", "", key, MAX_KEY_BYTES), ("value", key, value, MAX_VALUE_BYTES)):
        if len(text.encode()) > most:
            # As the service says it: https://github.com/snowplow/enrich/issues/485 (value) and java-pubsub/issues/2312 (key).
            raise invalid(
                f'The attribute "{name}" in the request has a {what} that is too long. The length is {len(text.encode())} '
                f"characters, but the maximum allowed is {most}. Refer to https://cloud.google.com/pubsub/quotas for more "
                "information."
            )


def _too_large(what: str, found: int, most: int) -> ApiError:
    return invalid(
        f"The value for {what} is too large. You passed {found} in the request, but the maximum value is {most}."
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
