"""Answer a prompt file by a Vertex AI batch prediction job: write its input, submit it once, find it, join its output."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from genops_events.cascade.paid_jobs import PaidJobs
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, genai_client
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_object
from genops_events.gemini.kept import KeptRow
from genops_events.gemini.online import kept_answer, kept_failure
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.replies import UnreadableReply, read_reply
from genops_events.gemini.requests import ROW_LABEL, CannotAsk, Requests, batch_row
from genops_events.gemini.results import object_writer
from genops_events.reading.json_lines import lines_of
from genops_events.record import inference as places
from genops_events.record.inference import BatchAttempt, BatchCancellation, BatchSubmission
from genops_events.waiting.views import cancel_batch

if TYPE_CHECKING:
    from google.cloud.storage import Bucket
    from google.genai.types import BatchJob

    from genops_events.config import Config

NAME_PREFIX = "genops-"
_STATUS_CHARACTERS = 500
NO_PREDICTION = "the batch job ended without answering it"


def display_name(candidate: str) -> str:
    """Return what the candidate's batch job is called: it is found by this after a crash."""
    return f"{NAME_PREFIX}{candidate}"


def write_input(bucket: Bucket, name: str, rows: Iterable[PromptRow | BadRow], requests: Requests) -> int:
    """Write the requests of all rows that can be asked; return how many. Writing the same again changes nothing."""
    count = 0
    with google_call(f"write gs://{bucket.name}/{name}"), object_writer(bucket, name) as out:
        for row in rows:
            if isinstance(row, BadRow):
                continue
            try:
                body = requests.body(row)
            except CannotAsk:
                continue
            out.write(msgspec.json.encode(batch_row(body, row)) + b"\n")
            count += 1
    return count


def submit(config: Config, *, candidate: str, model: str, source: str, target: str) -> BatchJob:
    """Submit a batch job. Only `BATCH_JOBS.submit` may call it, after a look for one: the API has no request id.

    The call is made once, without the client's retries: a repeat after a lost answer would pay twice.

    Args:
        config: project and location.
        candidate: becomes the display name that the job is found by.
        model: a publisher's model, or the resource of a tuned one.
        source: gs:// address of the input.
        target: gs:// address that the output goes below.
    """
    from google.genai import types

    settings = types.CreateBatchJobConfig(display_name=display_name(candidate), dest=target)
    where = config.serving_location_of(candidate)
    with google_call("submit the batch job"), genai_client(config.project, where, attempts=1) as client:
        return client.batches.create(model=model, src=source, config=settings)


def find_all(config: Config, candidate: str) -> list[BatchJob]:
    """Return every batch job of `candidate`, newest first; more than one only if two submissions met."""
    from google.genai import types

    name = display_name(candidate)
    where = config.serving_location_of(candidate)
    with google_call("look for the candidate's batch jobs"), genai_client(config.project, where) as client:
        pages = client.batches.list(config=types.ListBatchJobsConfig(filter=f'display_name="{name}"', page_size=10))
        # Compared here as well: a service that ignored the filter must not make us adopt another's job.
        return [job for job in pages if job.display_name == name]


def get(config: Config, name: str) -> BatchJob:
    """Return one batch job as it stands now."""
    with google_call(f"read {name}"), genai_client(config.project, config.places.of(name)) as client:
        return client.batches.get(name=name)


def cancel(config: Config, name: str) -> None:
    """Ask Vertex AI to cancel a batch job; it may still end otherwise."""
    cancel_batch(name, project=config.project, location=config.places.of(name))


BATCH_JOBS = PaidJobs(
    noun="batch job",
    settings="inference.batch",
    wait_of=lambda dataset: dataset.inference.batch,
    find_all=find_all,
    get=get,
    cancel_one=cancel,
    attempt=BatchAttempt,
    attempt_path=places.attempt_path,
    submission=BatchSubmission,
    submission_path=places.submission_path,
    cancellation=BatchCancellation,
    cancellation_path=places.cancellation_path,
)


def joined(
    bucket: Bucket, directory: str | None, rows: Iterator[PromptRow | BadRow], requests: Requests, *, model: str
) -> Iterator[KeptRow]:
    """Yield every row of the prompt file with what the batch job has answered, in the order of the file.

    The output lies in files of any order; a scratch file on disk sorts it, so that memory is bounded.

    Args:
        bucket: of the output.
        directory: gs:// address of it; None where the job has left none.
        rows: of the prompt file.
        requests: made the job's input.
        model: in the answers.
    """
    with (
        tempfile.TemporaryDirectory(prefix="genops-") as folder,
        closing(sqlite3.connect(Path(folder) / "predictions", check_same_thread=False)) as scratch,
    ):
        scratch.execute("CREATE TABLE predictions (line INTEGER PRIMARY KEY, status TEXT, response BLOB)")
        if directory is not None:
            _sort(bucket, directory, scratch)
        for row in rows:
            yield row.number, _outcome(row, requests, scratch, model)


def _outcome(row: PromptRow | BadRow, requests: Requests, scratch: sqlite3.Connection, model: str) -> bytes:
    if isinstance(row, BadRow):
        return kept_failure(row, row.reason)
    found = scratch.execute("SELECT status, response FROM predictions WHERE line = ?", (row.line,)).fetchone()
    if found is None:
        try:
            requests.body(row)
        except CannotAsk as error:
            return kept_failure(row, f"Line {row.line}: {error}.")
        return kept_failure(row, f"Line {row.line}: {NO_PREDICTION}.")
    status, response = found
    if status:
        return kept_failure(row, f"Line {row.line}: {status[:_STATUS_CHARACTERS]}")
    try:
        return kept_answer(row, read_reply(response), model=model)
    except UnreadableReply as error:
        return kept_failure(row, f"Line {row.line}: {error}.")


class _Request(msgspec.Struct):
    labels: dict[str, str] = {}


class _Prediction(msgspec.Struct):
    status: str = ""
    request: _Request | None = None
    response: msgspec.Raw = msgspec.Raw(b"{}")


_decode = msgspec.json.Decoder(_Prediction).decode


def _sort(bucket: Bucket, directory: str, scratch: sqlite3.Connection) -> None:
    prefix = directory.removeprefix(f"gs://{bucket.name}/").rstrip("/") + "/"
    with google_call(f"list {directory}"):
        blobs = [
            one for one in bucket.list_blobs(prefix=prefix, timeout=CALL_TIMEOUT_SECONDS) if one.name.endswith(".jsonl")
        ]
    for blob in blobs:
        for line in lines_of(read_object(blob)):
            if not isinstance(line, bytes) or not line.strip():
                continue
            try:
                found = _decode(line)
                number = int((found.request or _Request()).labels[ROW_LABEL])
            except (msgspec.DecodeError, LookupError, ValueError):
                continue  # nobody knows whose it is: its row is told as not answered
            scratch.execute(
                # Of two predictions for one row the answer counts.
                "INSERT INTO predictions VALUES (?, ?, ?) ON CONFLICT (line) DO UPDATE SET"
                " status = excluded.status, response = excluded.response WHERE predictions.status != ''",
                (number, found.status, bytes(found.response)),
            )
