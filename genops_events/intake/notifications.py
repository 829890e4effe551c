"""Read Cloud Storage's notifications, and turn them into arrivals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from genops_events.config.identity import candidate_id
from genops_events.errors import PermanentError
from genops_events.gcp.requirements import FINALIZED
from genops_events.reading.storable import MOST_INTEGER
from genops_events.record.intake import Arrival


class UnreadableNotification(PermanentError):
    """A message on the arrivals topic is not a notification of Cloud Storage."""


_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
MOST_NAME_BYTES = 1024
_SHOWN = 100


def bucket_problem(bucket: str) -> str | None:
    """Return why this cannot be a bucket's name; None where it can. Source: https://cloud.google.com/storage/docs/buckets#naming."""
    return None if _BUCKET.fullmatch(bucket) else "its bucket has no name that Cloud Storage gives"


def object_problem(name: str) -> str | None:
    """Return why an object of this name cannot be an arrival; None where it can.

    Cloud Storage forbids names that are empty, `.` or `..`, over 1,024 bytes of UTF-8, or with a line feed or carriage
    return. It allows NUL, which databases do not. Source: https://cloud.google.com/storage/docs/objects#naming.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "its name is no text: it has half of a surrogate pair"
    if not 1 <= size <= MOST_NAME_BYTES:
        return f"its name is empty, or longer than {MOST_NAME_BYTES:,} bytes"
    if name in (".", "..") or any(one in name for one in "\r\n"):
        return "its name is not one that Cloud Storage allows"
    if "\0" in name:
        return "its name has a NUL character, which databases do not take"
    return None


def _checked(problem: Callable[[str], str | None]) -> AfterValidator:
    def check(value: str) -> str:
        if (found := problem(value)) is not None:
            raise PydanticCustomError("name", "{found}", {"found": found})
        return value

    return AfterValidator(check)


class Notice(BaseModel):
    """One finalized object, as the notification describes it; also the payload of the asset event.

    It has no time: a message may have a wrong one, so the time of the object itself counts (`arrival`).
    """

    model_config = ConfigDict(frozen=True)

    bucket: Annotated[str, _checked(bucket_problem)]
    object: Annotated[str, _checked(object_problem)]
    generation: Annotated[int, Field(ge=1, le=MOST_INTEGER)]
    size_bytes: Annotated[int | None, Field(ge=0, le=MOST_INTEGER)] = None

    def payload(self) -> dict[str, Any]:
        """Return the notice as plain JSON values."""
        return self.model_dump(mode="json")


_NOTHING_ELSE = "Publish nothing else on this topic; `genops upload` or any Cloud Storage client makes a notification."
_EVENTS = "google.cloud.storage.object.v1."
_FINALIZED_EVENT = f"{_EVENTS}finalized"
_STRUCTURED = "application/cloudevents+json"


def read_notification(attributes: Mapping[str, str], data: bytes) -> Notice | None:
    """Return the finalized object of a Pub/Sub message; None for any other event of the bucket.

    A message is a notification of Cloud Storage, or an event of Eventarc about the same: a CloudEvent with its type in the
    attribute `ce-type` and the object in the payload, or with all of it in the payload.
    Sources (read 2026-11-30): https://cloud.google.com/storage/docs/pubsub-notifications,
    https://github.com/googleapis/google-cloudevents, proto/google/events/cloud/storage/v1/events.proto.

    Args:
        attributes: of the message; those of a notification have bucket, object and generation with every payload format.
        data: the object resource as JSON, or nothing with payload format NONE; for Eventarc, the object or the event.

    Raises:
        UnreadableNotification: fields that every notification has are missing or wrong.
    """
    if (event_type := attributes.get("eventType")) is not None:
        if event_type != FINALIZED:
            return None
        found = {
            "bucket": attributes.get("bucketId"),
            "object": attributes.get("objectId"),
            "generation": attributes.get("objectGeneration"),
        }
        return _notice({**found, "size_bytes": _size(_object(data))})
    kind: Any = attributes.get("ce-type")
    event: Any = _object(data)
    if attributes.get("content-type", "").startswith(_STRUCTURED):
        kind, event = event.get("type"), event.get("data")
    if kind is None:
        raise UnreadableNotification(
            "A message on the arrivals topic has no attribute `eventType`, so it is no Cloud Storage notification.",
            _NOTHING_ELSE,
        )
    if not str(kind).startswith(_EVENTS):
        raise UnreadableNotification(
            f"A message on the arrivals topic is an event of another kind than Cloud Storage's: {str(kind)[:_SHOWN]!r}.",
            _NOTHING_ELSE,
        )
    if kind != _FINALIZED_EVENT:
        return None
    if not isinstance(event, dict):
        event = {}
    found = {"bucket": event.get("bucket"), "object": event.get("name"), "generation": event.get("generation")}
    return _notice({**found, "size_bytes": _size(event)})


def _notice(found: Mapping[str, Any]) -> Notice:
    try:
        return Notice.model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(f"{one['loc'][0]} missing or wrong ({one['msg']})" for one in error.errors())
        raise UnreadableNotification(
            f"A Cloud Storage notification cannot be read: {wrong}.",
            "Look at the message on the dead-letter subscription.",
        ) from error


def _object(data: bytes) -> dict[str, Any]:
    """Return the object in a payload, with its whole numbers as strings: they may have more digits than Python reads."""
    try:
        found = json.loads(data, parse_int=str)
    except (ValueError, RecursionError):
        return {}  # payload format NONE
    return found if isinstance(found, dict) else {}


def _size(resource: Mapping[str, Any]) -> int | str | None:
    """Return the size by the payload, unchecked; None where it has none: the size is read from the object itself later."""
    try:
        size = resource["size"]
        return size if isinstance(size, str) and re.fullmatch(r"[+-]?[0-9]+", size) else int(size)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def arrival(
    notice: Notice, *, dataset: str, found_by: str, now: datetime, created_at: datetime | None = None
) -> Arrival:
    """Return the arrival of `notice` in `dataset`; the same notice always makes the same candidate.

    Args:
        notice: the object.
        dataset: of the object's prefix.
        found_by: `notification` or `sweep`.
        now: when the arrival is recorded, UTC.
        created_at: when Cloud Storage finalized the object, by the object itself; None where it does not exist any more.
    """
    return Arrival(
        candidate=candidate_id(dataset, notice.bucket, notice.object, notice.generation),
        written_at=now,
        dataset=dataset,
        bucket=notice.bucket,
        object=notice.object,
        generation=notice.generation,
        size_bytes=notice.size_bytes,
        arrived_at=now if created_at is None else created_at,
        found_by=found_by,
    )
