"""Files of an evaluation in the bucket: kept scores during a run; rows and report at its end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from genops_events.evaluation.rows import Row, Score
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.parts import read_parts
from genops_events.gcp.streams import MOST_ROWS_BYTES, read_object, read_whole
from genops_events.reading.json_lines import lines_of

if TYPE_CHECKING:
    from google.cloud.storage import Bucket


def kept_scores(bucket: Bucket, prefix: str) -> dict[str, Score]:
    """Return the scores that an earlier try kept below `prefix`, by their `score_key`."""
    return {
        line["key"]: Score(line.get("score"), line.get("failure"), line.get("explanation"))
        for line in read_parts(bucket, prefix)
    }


def write_rows(bucket: Bucket, name: str, rows: Sequence[Row]) -> None:
    """Write the rows as JSON Lines; writing the same again changes nothing."""
    write_lines(bucket, name, (row.to_json_line() for row in rows))


def write_lines(bucket: Bucket, name: str, lines: Iterable[str]) -> None:
    """Write lines of JSON, each with its end; writing the same again changes nothing."""
    _write(bucket, name, "".join(lines), "application/jsonl")


def write_report(bucket: Bucket, name: str, text: str) -> None:
    """Write the report as HTML."""
    _write(bucket, name, text, "text/html; charset=utf-8")


def read_rows(bucket: Bucket, name: str) -> list[Row]:
    """Return the rows of an evaluation; none for those of versions that did not keep rows."""
    from google.api_core.exceptions import NotFound

    with google_call(f"read gs://{bucket.name}/{name}"):
        try:
            content = read_whole(bucket.blob(name), most_bytes=MOST_ROWS_BYTES).decode()
        except NotFound:
            return []
    return [Row.from_json(json.loads(line)) for line in content.split("\n") if line]


def browser_url(uri: str) -> str:
    """Return the address at which a browser shows an object of Cloud Storage.

    Cloud Storage asks for a Google login there. A signed URL would let in all who have it, and needs a private key.
    """
    name = quote(uri.removeprefix("gs://"), safe="/~")
    endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
    if endpoint is None:
        return f"https://storage.cloud.google.com/{name}"
    bucket, _, object_name = uri.removeprefix("gs://").partition("/")
    return f"{endpoint.rstrip('/')}/storage/v1/b/{bucket}/o/{quote(object_name, safe='')}?alt=media"


def _write(bucket: Bucket, name: str, text: str, content_type: str) -> None:
    with google_call(f"write gs://{bucket.name}/{name}"):
        bucket.blob(name).upload_from_string(text, content_type=content_type, timeout=CALL_TIMEOUT_SECONDS)


def training_lines(bucket: Bucket, names: Sequence[str]) -> tuple[str, Iterator[bytes]] | None:
    """Return name and lines of the first of these objects that exists, in bounded memory; None where none exists."""
    for name in names:
        blob = bucket.blob(name)
        with google_call(f"read gs://{bucket.name}/{name}"):
            if blob.exists(timeout=CALL_TIMEOUT_SECONDS):
                # A line over the limit of a request cannot be an example: it is counted, and its text is not read.
                lines = lines_of(read_object(blob))
                return name, (line if isinstance(line, bytes) else b"" for line in lines)
    return None
