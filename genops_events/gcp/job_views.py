"""Look at long-running Vertex AI jobs: a page of the listing, or one job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import google_call
from genops_events.gcp.tuning_results import billable_tokens_of, epochs_of, steps_of
from genops_events.jobs import JobError, JobView

if TYPE_CHECKING:
    from google.genai.types import BatchJob, TuningJob

PAGE_SIZE = 100
"""The most that Vertex AI puts on a page."""

LOOK_TIMEOUT_SECONDS = 20.0
NOT_FOUND = 404


class JobKind(StrEnum):
    """What is waited for; the values are stored with triggers."""

    TUNING = "tuning"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and whether there are older ones."""

    jobs: tuple[JobView, ...]
    more: bool


class JobViews:
    """Reads the jobs of one kind, project and region. Every call blocks: in an event loop, make it in a thread.

    A thread, since google-genai takes 50 to 130 ms of a core to read a page of a hundred jobs.

    Args:
        kind: tuning jobs, or batch prediction jobs.
        project: project id.
        location: region.
    """

    def __init__(self, kind: JobKind, *, project: str, location: str) -> None:
        # One attempt: whoever waits for a job backs off by itself, and logs it.
        self._client = genai_client(project, location, attempts=1, timeout_seconds=LOOK_TIMEOUT_SECONDS)
        self._kind = kind
        self._pager: Any = None

    def first_page(self) -> Page:
        """Return the newest jobs.

        Raises:
            CloudUnavailable: the service does not answer, or asks to be called later.
            CloudRefused: the call is not allowed.
        """
        from google.genai import types

        with google_call(f"list the {self._kind} jobs"):
            if self._kind is JobKind.TUNING:
                self._pager = self._client.tunings.list(config=types.ListTuningJobsConfig(page_size=PAGE_SIZE))
            else:
                self._pager = self._client.batches.list(config=types.ListBatchJobsConfig(page_size=PAGE_SIZE))
        return self._page()

    def next_page(self) -> Page:
        """Return the jobs before those of the page before; raises as `first_page` does."""
        with google_call(f"list the {self._kind} jobs"):
            self._pager.next_page()
        return self._page()

    def one(self, name: str) -> JobView | None:
        """Return the job of this name, or None where there is none; raises as `first_page` does."""
        from google.genai import errors

        with google_call(f"look at {name}"):
            try:
                if self._kind is JobKind.TUNING:
                    return tuning_view(self._client.tunings.get(name=name))
                return batch_view(self._client.batches.get(name=name))
            except errors.APIError as error:
                if error.code == NOT_FOUND:
                    return None
                raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _page(self) -> Page:
        view: Any = tuning_view if self._kind is JobKind.TUNING else batch_view
        return Page(tuple(view(job) for job in self._pager.page), more=bool(self._pager.config.get("page_token")))


def tuning_view(job: TuningJob) -> JobView:
    """Return what a tuning job says about itself."""
    done = job.tuning_job_metadata
    return JobView(
        name=job.name or "",
        state=_state(job),
        detail=str(job.tuning_job_state.value) if job.tuning_job_state is not None else None,
        created_at=job.create_time,
        started_at=job.start_time,
        updated_at=job.update_time,
        error=_error(job),
        epochs=_count(done.completed_epoch_count) if done is not None else None,
        epochs_total=epochs_of(job),
        steps=_count(done.completed_step_count) if done is not None else None,
        steps_total=steps_of(job),
        tokens=billable_tokens_of(job),
    )


def batch_view(job: BatchJob) -> JobView:
    """Return what a batch prediction job says about itself; its steps are rows."""
    rows = job.completion_stats
    counts = (rows.successful_count, rows.failed_count, rows.incomplete_count) if rows is not None else ()
    known = [int(count) for count in counts if count is not None and int(count) >= 0]
    done = [int(count) for count in counts[:2] if count is not None and int(count) >= 0]
    return JobView(
        name=job.name or "",
        state=_state(job),
        created_at=job.create_time,
        started_at=job.start_time,
        updated_at=job.update_time,
        error=_error(job),
        steps=sum(done) if done else None,
        steps_total=sum(known) if known else None,
    )


def _state(job: TuningJob | BatchJob) -> str:
    return str(job.state.value) if job.state is not None else "JOB_STATE_UNSPECIFIED"


def _error(job: TuningJob | BatchJob) -> JobError | None:
    if job.error is None or not (job.error.message or job.error.code):
        return None
    return JobError(code=job.error.code, message=job.error.message or "it gave no reason")


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def cancel_batch(name: str, *, project: str, location: str) -> None:
    """Ask Vertex AI to cancel a batch prediction job; it may still end otherwise."""
    with google_call(f"cancel {name}"), genai_client(project, location) as client:
        client.batches.cancel(name=name)
