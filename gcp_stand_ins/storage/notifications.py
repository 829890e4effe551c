"""Which topics hear of a change to an object, and the message that Cloud Storage sends them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.resources import StoredObject
from gcp_stand_ins.storage.wire import ApiError, Resource

_TOPIC = re.compile(r"//pubsub\.googleapis\.com/(projects/[^/]+/topics/[^/]+)")
_CONFIGS_A_BUCKET = 100
_CONFIGS_AN_EVENT = 10
_ATTRIBUTES_A_CONFIG = 10
"""All three: https://cloud.google.com/storage/quotas, "Buckets" (read 2026-12-01)."""


class Event(StrEnum):
    """What can happen to an object."""

    FINALIZE = "OBJECT_FINALIZE"
    """A generation was created."""
    METADATA_UPDATE = "OBJECT_METADATA_UPDATE"
    DELETE = "OBJECT_DELETE"
    """A generation is gone, also by being overwritten."""
    ARCHIVE = "OBJECT_ARCHIVE"
    """The live generation of a versioned bucket became a noncurrent one."""


class PayloadFormat(StrEnum):
    """What a message carries as its data."""

    JSON = "JSON_API_V1"
    """The object resource."""
    NONE = "NONE"


class Notifications:
    """The notification configurations of all buckets, and the outbox of messages not yet published.

    Args:
        database: where both are kept.
        base_url: scheme and host of this stand-in, for the links in payloads.
    """

    def __init__(self, database: Database, base_url: str) -> None:
        self._database = database
        self._base_url = base_url
        self._configs: dict[str, list[Resource]] = {}
        rows = database.execute("SELECT bucket, resource FROM notifications ORDER BY bucket, id")
        for bucket, resource in rows.fetchall():
            self._configs.setdefault(bucket, []).append(msgspec.json.decode(resource))

    def of_bucket(self, bucket: str) -> list[Resource]:
        """Return the configurations of `bucket`, oldest first."""
        return list(self._configs.get(bucket, []))

    def get(self, bucket: str, config_id: str) -> Resource:
        """Return one configuration.

        Raises:
            ApiError: 404.
        """
        for config in self._configs.get(bucket, []):
            if config["id"] == config_id:
                return config
        raise ApiError(404, f"Notification {config_id} not found in bucket {bucket}.")

    def create(self, bucket: str, given: Resource) -> Resource:
        """Keep a configuration, checked before by `checked_config`, under the bucket's next id.

        Raises:
            ApiError: 400, the bucket has as many as it may.
        """
        if len(self._configs.get(bucket, [])) >= _CONFIGS_A_BUCKET:
            raise ApiError(
                400, f"Bucket {bucket} has {_CONFIGS_A_BUCKET} notification configurations, the most allowed."
            )
        if _most_at_one_event([*self._configs.get(bucket, []), given], given) > _CONFIGS_AN_EVENT:
            raise ApiError(
                400,
                f"Too many overlapping notifications in bucket {bucket}: {_CONFIGS_AN_EVENT} for one event are allowed.",
            )
        with self._database.transaction():
            # Counted, not the highest plus one: a deleted id never comes back.
            number = self._database.counter(f"notification {bucket}") + 1
            self._database.set_counter(f"notification {bucket}", number)
            config = {"kind": "storage#notification", "id": str(number), "etag": str(number), **given}
            self._database.execute(
                "INSERT INTO notifications (bucket, id, resource) VALUES (?, ?, ?)",
                (bucket, number, msgspec.json.encode(config)),
            )
        self._configs.setdefault(bucket, []).append(config)
        return config

    def delete(self, bucket: str, config_id: str) -> None:
        """Forget a configuration; messages already in the outbox are still sent.

        Raises:
            ApiError: 404.
        """
        config = self.get(bucket, config_id)
        with self._database.transaction():
            self._database.execute("DELETE FROM notifications WHERE bucket = ? AND id = ?", (bucket, int(config_id)))
        self._configs[bucket].remove(config)

    def forget_bucket(self, bucket: str) -> None:
        """Drop the configurations of a bucket that is being deleted; part of the transaction under way."""
        self._database.execute("DELETE FROM notifications WHERE bucket = ?", (bucket,))
        self._configs.pop(bucket, None)

    def record(self, event: Event, changed: StoredObject, **generations: int) -> bool:
        """Put the messages about `event` into the outbox; part of the transaction under way.

        Args:
            event: what happened.
            changed: the generation it happened to, as it is after.
            generations: `overwroteGeneration` or `overwrittenByGeneration`, where there is one.

        Returns:
            Whether there was anybody to tell.
        """
        configs = [one for one in self._configs.get(changed.bucket, []) if _wants(one, event, changed.name)]
        if not configs:
            return False
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for config in configs:
            attributes = {
                **config.get("custom_attributes", {}),
                "notificationConfig": f"projects/_/buckets/{changed.bucket}/notificationConfigs/{config['id']}",
                "eventType": event.value,
                "payloadFormat": config["payload_format"],
                "bucketId": changed.bucket,
                "objectId": changed.name,
                "objectGeneration": str(changed.generation),
                "eventTime": moment,
                **{name: str(value) for name, value in generations.items()},
            }
            data = b""
            if config["payload_format"] == PayloadFormat.JSON:
                data = msgspec.json.encode(changed.on_wire(self._base_url))
            self._database.execute(
                "INSERT INTO outbox (topic, attributes, data, created_at) VALUES (?, ?, ?, ?)",
                # Wall clock: the age of a message survives a restart.
                (topic_of(config), msgspec.json.encode(attributes), data, time.time()),
            )
        return True


def _wants(config: Resource, event: Event, name: str) -> bool:
    if not name.startswith(config.get("object_name_prefix", "")):
        return False
    types = config.get("event_types")
    return not types or event in types


def _most_at_one_event(configs: list[Resource], new: Resource) -> int:
    """Return how many of `configs` tell of one and the same event, at the most, where `new` is among them."""
    prefixes = {one.get("object_name_prefix", "") for one in configs}
    names = [name for name in prefixes if name.startswith(new.get("object_name_prefix", ""))]
    return max(
        sum(_wants(one, event, name) for one in configs)
        for event in new.get("event_types") or list(Event)
        for name in names
    )


def topic_of(config: Resource) -> str:
    """Return the topic's name as Pub/Sub knows it: `projects/P/topics/T`."""
    found = _TOPIC.fullmatch(config["topic"])
    assert found is not None, "checked when the configuration was created"
    return found[1]


def checked_config(given: Resource) -> Resource:
    """Return the fields of a new configuration.

    Raises:
        ApiError: 400, it says which field is wrong and what is allowed.
    """
    topic = given.get("topic")
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise ApiError(400, f"Invalid topic {topic!r}: expected //pubsub.googleapis.com/projects/P/topics/T.")
    payload_format = given.get("payload_format")
    if payload_format not in list(PayloadFormat):
        raise ApiError(400, f"Invalid payload_format {payload_format!r}: expected JSON_API_V1 or NONE.")
    event_types = given.get("event_types") or []
    if not isinstance(event_types, list) or any(one not in list(Event) for one in event_types):
        raise ApiError(400, f"Invalid event_types {event_types!r}: expected some of {', '.join(Event)}.")
    attributes = given.get("custom_attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise ApiError(400, "Invalid custom_attributes: expected an object of strings.")
    if len(attributes) > _ATTRIBUTES_A_CONFIG:
        raise ApiError(
            400, f"Invalid custom_attributes: {len(attributes)}, at most {_ATTRIBUTES_A_CONFIG} are allowed."
        )
    prefix = given.get("object_name_prefix") or ""
    if not isinstance(prefix, str):
        raise ApiError(400, "Invalid object_name_prefix: expected a string.")
    config: Resource = {"topic": topic, "payload_format": payload_format}
    if event_types:
        config["event_types"] = event_types
    if attributes:
        config["custom_attributes"] = attributes
    if prefix:
        config["object_name_prefix"] = prefix
    return config
