"""Keep results in the bucket as they come, in small parts, so that a killed task has lost only what was in flight."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from genops_events.errors import GenopsError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

PAUSE_SECONDS = 1.0
"""Between two parts: so much work is lost at most with the task's process, and an hour leaves at most 3,600 objects."""


class PartWriter:
    """Write JSON lines below a prefix, from a thread of its own; each part is an object that is written once.

    with PartWriter(bucket, "genops/candidates/x/parts/") as parts:
        parts.add({"row": 1})

    Leaving the block writes the rest.

    Args:
        bucket: where to.
        prefix: of the parts' names; ends with `/`.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._name = uuid.uuid4().hex
        self._number = 0
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, line: Mapping[str, Any]) -> None:
        """Take one line; it is in the bucket about a second later. Never blocks on the network."""
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        with self._lock:
            self._lines.append(text)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._write_on, name="part-writer", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left.

        Raises:
            CloudUnavailable: it cannot be written; where another error is on its way, that one is raised.
        """
        assert self._thread is not None
        self._ended.set()
        self._thread.join()
        try:
            self._write()
        except GenopsError:
            if error is None:
                raise

    def _write_on(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                self._write()
            except GenopsError:
                continue  # the lines are still there: the next write, or the last one, takes them along

    def _write(self) -> None:
        with self._lock:
            lines = list(self._lines)
        if not lines:
            return
        from google.api_core.exceptions import PreconditionFailed

        while True:
            name = f"{self._prefix}{self._name}-{self._number:05}.jsonl"
            self._number += 1
            with google_call(f"write gs://{self._bucket.name}/{name}"):
                try:
                    self._bucket.blob(name).upload_from_string(
                        "".join(lines),
                        content_type="application/jsonl",
                        if_generation_match=0,
                        timeout=CALL_TIMEOUT_SECONDS,
                    )
                except PreconditionFailed:
                    continue  # an earlier write came through though its answer was lost; it may hold fewer lines
            break
        with self._lock:
            del self._lines[: len(lines)]


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
        with google_call(f"remove gs://{bucket.name}/{blob.name}"):
            try:
                blob.delete(timeout=CALL_TIMEOUT_SECONDS)
            except NotFound:
                return

    at_once(remove, _blobs(bucket, prefix))


def _blobs(bucket: Bucket, prefix: str) -> list[Blob]:
    with google_call(f"list gs://{bucket.name}/{prefix}"):
        return list(bucket.list_blobs(prefix=prefix, timeout=CALL_TIMEOUT_SECONDS))
