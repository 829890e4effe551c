"""Read and remove parts: small objects below a prefix, which work keeps its rows in as they come."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole

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
    """Remove the parts below `prefix`, once what they hold is written elsewhere; those that are gone are no matter."""
    from google.api_core.exceptions import NotFound

    def remove(blob: Blob) -> None:
        with google_call(f"remove gs://{bucket.name}/{blob.name}"), suppress(NotFound):
            blob.delete(timeout=CALL_TIMEOUT_SECONDS)

    at_once(remove, _blobs(bucket, prefix))


def drop_parts(bucket: Bucket, prefix: str) -> None:
    """Remove the parts below `prefix` that nobody needs any more, where that is possible at once.

    Cloud Storage takes one change a second of an object name: what was written just now is left. It does no harm, and the sweep removes
    it when it settles the candidate.
    """
    from google.api_core.exceptions import NotFound, TooManyRequests

    def remove(blob: Blob) -> None:
        with google_call(f"remove gs://{bucket.name}/{blob.name}"), suppress(NotFound, TooManyRequests):
            blob.delete(timeout=CALL_TIMEOUT_SECONDS, retry=None)

    at_once(remove, _blobs(bucket, prefix))


def _blobs(bucket: Bucket, prefix: str) -> list[Blob]:
    with google_call(f"list gs://{bucket.name}/{prefix}"):
        return list(bucket.list_blobs(prefix=prefix, timeout=CALL_TIMEOUT_SECONDS))
