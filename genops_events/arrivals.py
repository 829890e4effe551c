"""Read Cloud Storage's notifications, and turn them into arrivals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from genops_events.errors import PermanentError
from genops_events.identity import candidate_id
from genops_events.record import Arrival

FINALIZED = "OBJECT_FINALIZE"
"""The event type of an object that is there as a whole."""


class UnreadableNotification(PermanentError):
    """A message on the arrivals topic is no notification of Cloud Storage."""


class Notice(BaseModel):
    """One finalized object, as the notification tells it; also the payload of the asset event."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    object: str
    generation: int
    size_bytes: int | None = None
    finalized_at: datetime

    def payload(self) -> dict[str, Any]:
        """Return the notice as plain JSON values."""
        return self.model_dump(mode="json")


def read_notification(attributes: Mapping[str, str], data: bytes) -> Notice | None:
    """Return the finalized object that a Pub/Sub message tells of; None for any other event of the bucket.

    Args:
        attributes: the message's attributes; they name bucket, object and generation whatever the payload format.
        data: the object resource as JSON, or nothing with payload format NONE.

    Raises:
        UnreadableNotification: attributes that every notification has are missing or wrong.
        Source: https://cloud.google.com/storage/docs/pubsub-notifications
    """
    event_type = attributes.get("eventType")
    if event_type is None:
        raise UnreadableNotification(
            "A message on the arrivals topic has no attribute `eventType`, so it is no Cloud Storage notification.",
            "Publish nothing else on this topic; `genops upload` or any Cloud Storage client makes a notification.",
        )
    if event_type != FINALIZED:
        return None
    try:
        return Notice.model_validate(
            {
                "bucket": attributes.get("bucketId"),
                "object": attributes.get("objectId"),
                "generation": attributes.get("objectGeneration"),
                "size_bytes": _size(data),
                "finalized_at": attributes.get("eventTime"),
            }
        )
    except ValidationError as error:
        wrong = ", ".join(str(one["loc"][0]) for one in error.errors())
        raise UnreadableNotification(
            f"A Cloud Storage notification cannot be read: {wrong} missing or wrong.",
            "Look at the message on the dead-letter subscription.",
        ) from error


def _size(data: bytes) -> int | None:
    try:
        return int(json.loads(data)["size"])
    except (ValueError, KeyError, TypeError):
        return None  # payload format NONE: the size is a figure to show, nothing depends on it


def arrival(notice: Notice, *, dataset: str, found_by: str, now: datetime) -> Arrival:
    """Return the arrival of `notice` in `dataset`; the same notice always makes the same candidate."""
    return Arrival(
        candidate=candidate_id(dataset, notice.bucket, notice.object, notice.generation),
        written_at=now,
        dataset=dataset,
        bucket=notice.bucket,
        object=notice.object,
        generation=notice.generation,
        size_bytes=notice.size_bytes,
        arrived_at=notice.finalized_at,
        found_by=found_by,
    )
