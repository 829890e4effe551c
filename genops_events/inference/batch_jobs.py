"""Answer a prompt file by a Vertex AI batch prediction job: write its input, submit it once, find it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from genops_events.cascade.paid_jobs import LISTED_AT_ONCE, PaidJobs, listed
from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import google_call
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.requests import CannotAsk, Requests, batch_row
from genops_events.gemini.results import object_writer
from genops_events.record import inference as places
from genops_events.record.inference import BatchAttempt, BatchCancellation, BatchSubmission
from genops_events.waiting.views import cancel_batch

if TYPE_CHECKING:
    from google.cloud.storage import Bucket
    from google.genai.types import BatchJob

    from genops_events.config import Config

NAME_PREFIX = "genops-"


def display_name(candidate: str) -> str:
    """Return the display name of the candidate's batch job, by which it is found after a crash."""
    return f"{NAME_PREFIX}{candidate}"


def write_input(bucket: Bucket, name: str, rows: Iterable[PromptRow | BadRow], requests: Requests) -> int:
    """Write the requests of all rows that can be asked; return their number. Writing the same again changes nothing."""
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
        candidate: id; the job's display name is made of it, by which the job is found.
        model: a publisher's model, or the resource of a tuned one.
        source: gs:// address of the input.
        target: gs:// address of the folder for the output.
    """
    from google.genai import types

    settings = types.CreateBatchJobConfig(display_name=display_name(candidate), dest=target)
    where = config.serving_location_of(candidate)
    with google_call("submit the batch job"), genai_client(config.project, where, attempts=1) as client:
        return client.batches.create(model=model, src=source, config=settings)


def find_all(config: Config, candidate: str) -> list[BatchJob]:
    """Return every batch job of `candidate`, newest first; more than one only after two submissions at the same time."""
    from google.genai import types

    name = display_name(candidate)
    where = config.serving_location_of(candidate)
    with genai_client(config.project, where) as client:
        return listed(
            lambda asked: client.batches.list(
                config=types.ListBatchJobsConfig(filter=asked or None, page_size=LISTED_AT_ONCE)
            ),
            f'display_name="{name}"',
            is_own=lambda job: job.display_name == name,
            what="look for the candidate's batch jobs",
        )


def get(config: Config, name: str) -> BatchJob:
    """Return the present state of one batch job."""
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
