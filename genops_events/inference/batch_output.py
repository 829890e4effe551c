"""Match the predictions of a batch job to the rows of the prompt file, and sort the answers into the file's order.

A batch job writes its predictions into files of any order. Each prediction repeats its request, whose label has the line.
Vertex AI reads the input as BigQuery would: a string in the form of a number may come back as a number, and an absent field as
null (reported: googleapis/python-genai 2123). So labels do not have the form of a number, and a prediction without a label is
matched by its request.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call, in_words
from genops_events.gcp.streams import read_object
from genops_events.gemini.kept import KeptRow
from genops_events.gemini.online import kept_answer, kept_failure
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.replies import UnreadableReply, read_reply
from genops_events.gemini.requests import ROW_LABEL, CannotAsk, Requests, line_of_label
from genops_events.reading.json_lines import lines_of

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

NO_PREDICTION = "the batch job ended without answering it"
_STATUS_CHARACTERS = 500
_LONGEST_NUMBER = 400
"""Most characters of a string that may have come back as a number: a double has fewer."""


def joined(
    bucket: Bucket, directory: str, rows: Iterator[PromptRow | BadRow], requests: Requests, *, model: str
) -> Iterator[KeptRow]:
    """Yield every row of the prompt file with the batch job's answer or a failure, in the order of the file.

    A scratch database on disk sorts the predictions, so that memory is bounded.

    Args:
        bucket: of the output.
        directory: gs:// address of the output.
        rows: of the prompt file.
        requests: those of the job's input.
        model: name of the model in the answers.
    """
    with (
        tempfile.TemporaryDirectory(prefix="genops-") as folder,
        closing(sqlite3.connect(Path(folder) / "predictions", check_same_thread=False)) as scratch,
    ):
        predictions = _Predictions(scratch)
        predictions.read(bucket, directory)
        for row in rows:
            yield row.number, _outcome(row, requests, predictions, model)


def _outcome(row: PromptRow | BadRow, requests: Requests, predictions: _Predictions, model: str) -> bytes:
    if isinstance(row, BadRow):
        return kept_failure(row, row.reason)
    found = predictions.of_line(row.line)
    if found is None:
        try:
            found = predictions.of_request(requests.body(row))
        except CannotAsk as error:
            return kept_failure(row, f"Line {row.line}: {error}.")
    if found is None:
        return kept_failure(row, f"Line {row.line}: {NO_PREDICTION}.")
    status, response = found
    if status:
        return kept_failure(row, f"Line {row.line}: {in_words(status)[:_STATUS_CHARACTERS]}")
    try:
        return kept_answer(row, read_reply(response), model=model)
    except UnreadableReply as error:
        return kept_failure(row, f"Line {row.line}: {error}.")


class _Prediction(msgspec.Struct):
    """One line of a job's output; `status` is empty or null where there is an answer."""

    status: str | None = None
    request: msgspec.Raw = msgspec.Raw(b"null")
    response: msgspec.Raw = msgspec.Raw(b"{}")


_decode = msgspec.json.Decoder(_Prediction).decode


class _Predictions:
    """A job's predictions by the line of their row, and those without a line by their request.

    Args:
        scratch: an empty database.
    """

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        scratch.execute("CREATE TABLE labelled (line INTEGER PRIMARY KEY, status TEXT, response BLOB)")
        scratch.execute("CREATE TABLE others (request BLOB, status TEXT, response BLOB)")
        scratch.execute("CREATE INDEX by_request ON others (request)")
        self._has_others = False

    def read(self, bucket: Bucket, directory: str) -> None:
        """Read all files of the output."""
        prefix = directory.removeprefix(f"gs://{bucket.name}/").rstrip("/") + "/"
        with google_call(f"list {directory}"):
            listed = bucket.list_blobs(prefix=prefix, timeout=CALL_TIMEOUT_SECONDS)
            blobs = [one for one in listed if one.name.endswith(".jsonl")]
        for blob in blobs:
            for line in lines_of(read_object(blob)):
                if isinstance(line, bytes) and line.strip():
                    self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            found = _decode(line)
            request = msgspec.json.decode(found.request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # it cannot be matched to a row, which is then reported as not answered
        if not isinstance(request, dict):
            return
        labels = request.get("labels")
        number = line_of_label(labels.get(ROW_LABEL)) if isinstance(labels, dict) else None
        status, response = found.status or "", bytes(found.response)
        if number is None:
            self._has_others = True
            self._scratch.execute("INSERT INTO others VALUES (?, ?, ?)", (_fingerprint(request), status, response))
            return
        self._scratch.execute(
            # Of two predictions for one row, an answer replaces a failure.
            "INSERT INTO labelled VALUES (?, ?, ?) ON CONFLICT (line) DO UPDATE SET"
            " status = excluded.status, response = excluded.response WHERE labelled.status != ''",
            (number, status, response),
        )

    def of_line(self, line: int) -> tuple[str, bytes] | None:
        """Return status and response of the prediction whose label has this line."""
        found: tuple[str, bytes] | None = self._scratch.execute(
            "SELECT status, response FROM labelled WHERE line = ?", (line,)
        ).fetchone()
        return found

    def of_request(self, request: Mapping[str, Any]) -> tuple[str, bytes] | None:
        """Return status and response of a prediction without a label that repeats this request; each is returned once."""
        if not self._has_others:
            return None
        found = self._scratch.execute(
            "SELECT rowid, status, response FROM others WHERE request = ? ORDER BY status LIMIT 1",
            (_fingerprint(request),),
        ).fetchone()
        if found is None:
            return None
        self._scratch.execute("DELETE FROM others WHERE rowid = ?", found[:1])
        return found[1], found[2]


def _fingerprint(request: Mapping[str, Any]) -> bytes:
    """Return a hash that a request and its repetition in the output have in common; labels are left out."""
    kept = {name: value for name, value in request.items() if name != "labels"}
    return hashlib.sha256(json.dumps(_plain(kept), sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    """Return a value of a request without the differences of an import: numbers as strings, and no empty values."""
    if isinstance(value, Mapping):
        found = {name: _plain(one) for name, one in value.items()}
        return {name: one for name, one in found.items() if one not in (None, {}, [])}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    text = str(value)
    if len(text) <= _LONGEST_NUMBER:
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        if number.is_finite():
            return f"{float(number)!r}"
    return text
