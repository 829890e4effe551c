"""Read Cloud Storage's notifications, and turn them into arrivals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from genops_events.errors import PermanentError
from genops_events.identity import candidate_id
from genops_events.record import Arrival

FINALIZED = "OBJECT_FINALIZE"
"""The event type of an object that is there as a whole."""


_TEMPORARY = re.compile(
    r"""
      (^|/)gcloud/tmp/parallel_composite_uploads/    # gcloud storage: parts of a parallel composite upload
    | (^|/)\d{1,11}_[0-9a-f]{40}_\d+$                # the same parts, below a component prefix of the user's own
    | (^|/)gsutil/tmp/parallel_composite_uploads/    # gsutil: the same, below a random number
    | (^|/)gcs-go-sdk-pu-tmp/                        # Google's Go client: parts of a parallel upload
    | [^/;]{22};[^/;]{22};\d{4,}(-\d{4,})?\.part$    # Google's Java client and Hadoop connector: beside the object itself
    | (^|/)_GCS_SYNCABLE_TEMPFILE_[^/]*$             # Google's Hadoop connector: tail of a file that is flushed
    | (^|/)_temporary/                               # Hadoop and Spark: output of a job that is not committed
    | (^|/)\.spark-staging-[^/]+/                    # Spark: partitions that are not committed
    | \._COPYING_$                                   # hadoop fs -put, before it renames
    | (^|/)\.distcp\.tmp\.[^/]*$                     # hadoop distcp, before it renames
    | (^|/)\.temp-beam[^/]*/                         # Beam and Dataflow: output of a job that is not committed
    | (^|/)\.gcsfuse_tmp/                            # gcsfuse: what is appended to a file
    | \.[a-z0-9]{8}\.partial$                        # rclone, onto a gcsfuse mount, before it renames
    """,
    re.VERBOSE,
)


def is_temporary(object_name: str) -> bool:
    """Return whether an upload tool made this object for its own use, and will compose, rename or delete it.

    Only names that no person gives: what is wrongly ignored is a lost upload, what is wrongly taken is a rejected
    candidate. So `.tmp`, `.part` or a leading dot alone decide nothing. Resumable and XML multipart uploads (the Cloud
    console, the Python client, rclone to Cloud Storage itself) leave no such objects. For Storage Transfer Service no
    such name was found.

    Sources: copy_component_util.py of the gcloud CLI, copy_helper.py of gsutil, `ParallelUploadConfig` and
    `PartNamingStrategy` of the Go and Java clients, GoogleHadoopSyncableOutputStream, Hadoop's FileOutputCommitter,
    CommandWithDestination and RetriableFileCopyCommand, Spark's HadoopMapReduceCommitProtocol, Beam's FileBasedSink,
    `TmpObjectPrefix` of gcsfuse, operations/copy.go of rclone; read in November 2026.
    """
    return _TEMPORARY.search(object_name) is not None


class UnreadableNotification(PermanentError):
    """A message on the arrivals topic is no notification of Cloud Storage."""


class Notice(BaseModel):
    """One finalized object, as the notification tells it; also the payload of the asset event."""

    model_config = ConfigDict(frozen=True)

    bucket: Annotated[str, Field(min_length=1)]
    object: Annotated[str, Field(min_length=1)]
    generation: Annotated[int, Field(gt=0)]
    size_bytes: int | None = None
    finalized_at: AwareDatetime

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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
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
