"""Read and remove parts: small objects below a prefix, which work keeps its rows in as they come."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole
from genops_events.record.paths import CANDIDATES

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket


def read_parts(bucket: Bucket, prefix: str) -> list[dict[str, Any]]:
    """Return every line that was written below `prefix`, in no order."""

    def lines(blob: Blob) -> list[dict[str, Any]]:
        with google_call(f"read gs://{bucket.name}/{blob.name}"):
            text = read_whole(blob).decode()
        return [json.loads(line) for line in text.split("\n") if line]

    return [line for part in at_once(lines, _blobs(bucket, prefix)) for line in part]


def remove_parts(bucket: Bucket, prefix: str) -> None:
    """Remove the parts below `prefix`, once what they hold is written elsewhere; those that are gone are no matter.

    Cloud Storage takes one change a second of an object name (https://cloud.google.com/storage/quotas, read 2026-11-30). A candidate's
    parts that were written just now are left: they do no harm, and the sweep removes them when it settles the candidate. Elsewhere
    nobody comes later, and the second is waited for.
    """
    from google.api_core.exceptions import NotFound, TooManyRequests

    is_swept = prefix.startswith(CANDIDATES)
    given = {"retry": None} if is_swept else {}
    harmless = (NotFound, TooManyRequests) if is_swept else (NotFound,)

    def remove(blob: Blob) -> None:
        with google_call(f"remove gs://{bucket.name}/{blob.name}"), suppress(*harmless):
            blob.delete(timeout=CALL_TIMEOUT_SECONDS, **given)

    at_once(remove, _blobs(bucket, prefix))


def _blobs(bucket: Bucket, prefix: str) -> list[Blob]:
    with google_call(f"list gs://{bucket.name}/{prefix}"):
        return list(bucket.list_blobs(prefix=prefix, timeout=CALL_TIMEOUT_SECONDS))
