"""Read the states of long-running Vertex AI jobs: a page of the listing, or one job.

The responses are read as the JSON that the REST API documents, and not by google-genai, which takes 50 to 130 ms of a core
for a page of a hundred jobs (docs/adr/0011).
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.tuningJobs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from genops_events.gcp.clients import genai_client, vertex_session
from genops_events.gcp.errors import CloudUnavailable, google_call, http_error
from genops_events.waiting.jobs import JobError, JobView

if TYPE_CHECKING:
    from requests import Response

PAGE_SIZE = 100
"""Most jobs that Vertex AI returns on a page."""

LOOK_TIMEOUT_SECONDS = 20.0


class JobKind(StrEnum):
    """The kinds of jobs; the values are stored with triggers."""

    TUNING = "tuning"
    BATCH = "batch"


_COLLECTIONS = {JobKind.TUNING: "tuningJobs", JobKind.BATCH: "batchPredictionJobs"}


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first, and whether there are older ones."""

    jobs: tuple[JobView, ...]
    more: bool


class JobViews:
    """Reads the jobs of one kind, project and region. Every call blocks: in an event loop, make it in a thread.

    Each call is made once: the poller backs off by itself, and logs it.

    Args:
        kind: tuning jobs, or batch prediction jobs.
        project: project id.
        location: region.
    """

    def __init__(self, kind: JobKind, *, project: str, location: str) -> None:
        self._session, self._base = vertex_session(location)
        self._kind = kind
        self._collection = f"projects/{project}/locations/{location}/{_COLLECTIONS[kind]}"
        self._token = ""

    def first_page(self) -> JobPage:
        """Return the newest jobs.

        Raises:
            CloudUnavailable: the service does not answer, or asks for a later call.
            CloudRefused: the call is not allowed.
        """
        self._token = ""
        return self.next_page()

    def next_page(self) -> JobPage:
        """Return the next older jobs; raises as `first_page` does."""
        with google_call(f"list the {self._kind} jobs"):
            content = self._get(
                self._collection, {"pageSize": str(PAGE_SIZE), **({"pageToken": self._token} if self._token else {})}
            )
            with _readable():
                page = _decode_page(content)
                jobs = tuple(map(_READERS[self._kind], (*page.tuningJobs, *page.batchPredictionJobs)))
        self._token = page.nextPageToken
        return JobPage(jobs, more=bool(self._token))

    def one(self, name: str) -> JobView | None:
        """Return the job of this name; None where there is none. Raises as `first_page` does."""
        from google.api_core.exceptions import NotFound

        with google_call(f"look at {name}"):
            try:
                content = self._get(name, {})
            except NotFound:
                return None
            with _readable():
                return _READERS[self._kind](content)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(self, name: str, query: Mapping[str, str]) -> bytes:
        answer: Response = self._session.get(f"{self._base}/v1beta1/{name}", params=query, timeout=LOOK_TIMEOUT_SECONDS)
        if not answer.ok:
            raise http_error(answer.status_code, answer.content, answer.headers)
        return answer.content


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except msgspec.MsgspecError as error:
        raise CloudUnavailable(
            f"The answer is not Vertex AI's: {error}.", "A proxy in between? It is asked again."
        ) from error


def cancel_batch(name: str, *, project: str, location: str) -> None:
    """Ask Vertex AI to cancel a batch prediction job; it may still end otherwise."""
    with google_call(f"cancel {name}"), genai_client(project, location) as client:
        client.batches.cancel(name=name)


# The fields that are read, with the names of the REST API; its 64-bit numbers are strings.
# ruff: noqa: N815


class _Error(msgspec.Struct):
    code: int | None = None
    message: str = ""


class _Job(msgspec.Struct, kw_only=True):
    name: str = ""
    state: str = "JOB_STATE_UNSPECIFIED"


class _KnownJob(_Job, kw_only=True):
    createTime: datetime | None = None
    startTime: datetime | None = None
    error: _Error | None = None


class _HyperParameters(msgspec.Struct):
    epochCount: int | None = None


class _Spec(msgspec.Struct):
    hyperParameters: _HyperParameters | None = None


class _Stats(msgspec.Struct):
    tuningStepCount: int | None = None
    totalBillableTokenCount: int | None = None


class _DistillationStats(msgspec.Struct):
    trainingDatasetStats: _Stats | None = None


class _DataStats(msgspec.Struct):
    supervisedTuningDataStats: _Stats | None = None
    preferenceOptimizationDataStats: _Stats | None = None
    distillationDataStats: _DistillationStats | None = None


class _Done(msgspec.Struct):
    completedEpochCount: int | None = None
    completedStepCount: int | None = None


class _TuningJob(_KnownJob, kw_only=True):
    tuningJobState: str | None = None
    tuningJobMetadata: _Done | None = None
    tuningDataStats: _DataStats | None = None
    supervisedTuningSpec: _Spec | None = None
    preferenceOptimizationSpec: _Spec | None = None
    distillationSpec: _Spec | None = None


class _Rows(msgspec.Struct):
    successfulCount: int = -1
    failedCount: int = -1
    incompleteCount: int = -1
    """-1 where Vertex AI does not know the number."""


class _BatchJob(_KnownJob, kw_only=True):
    completionStats: _Rows | None = None


class _JobPage(msgspec.Struct):
    tuningJobs: list[msgspec.Raw] = []
    batchPredictionJobs: list[msgspec.Raw] = []
    nextPageToken: str = ""


# Not strict: numbers may be strings.
_decode_page = msgspec.json.Decoder(_JobPage, strict=False).decode
_decode_tuning = msgspec.json.Decoder(_TuningJob, strict=False).decode
_decode_batch = msgspec.json.Decoder(_BatchJob, strict=False).decode
_decode_job = msgspec.json.Decoder(_Job, strict=False).decode


def _read_tuning(content: bytes | msgspec.Raw) -> JobView:
    """Return the state of a tuning job; name and `state` alone where the rest cannot be read."""
    try:
        return _tuning_view(_decode_tuning(content))
    except msgspec.ValidationError:
        return _plain_view(content)


def _read_batch(content: bytes | msgspec.Raw) -> JobView:
    """Return the state of a batch prediction job, as `_read_tuning` does."""
    try:
        return _batch_view(_decode_batch(content))
    except msgspec.ValidationError:
        return _plain_view(content)


_READERS = {JobKind.TUNING: _read_tuning, JobKind.BATCH: _read_batch}


def _plain_view(content: bytes | msgspec.Raw) -> JobView:
    # A job of an unknown kind, made by others in the project, must not hide all other jobs on its page.
    job = _decode_job(content)
    return JobView(name=job.name, state=job.state)


def _tuning_view(job: _TuningJob) -> JobView:
    spec = job.supervisedTuningSpec or job.preferenceOptimizationSpec or job.distillationSpec
    parameters = spec.hyperParameters if spec is not None else None
    stats = job.tuningDataStats or _DataStats()
    distilled = stats.distillationDataStats
    figures = (
        stats.supervisedTuningDataStats
        or stats.preferenceOptimizationDataStats
        or (distilled.trainingDatasetStats if distilled is not None else None)
        or _Stats()
    )
    done = job.tuningJobMetadata or _Done()
    return JobView(
        name=job.name,
        state=job.state,
        detail=job.tuningJobState,
        created_at=job.createTime,
        started_at=job.startTime,
        error=_error(job),
        epochs=done.completedEpochCount,
        epochs_total=parameters.epochCount if parameters is not None else None,
        steps=done.completedStepCount,
        steps_total=figures.tuningStepCount,
        # The statistics of a distillation do not include the teacher's answers, which are billed.
        tokens=None if distilled is not None else figures.totalBillableTokenCount,
    )


def _batch_view(job: _BatchJob) -> JobView:
    """Return the state of a batch prediction job, whose steps are rows."""
    rows = job.completionStats or _Rows()
    known = [count for count in (rows.successfulCount, rows.failedCount, rows.incompleteCount) if count >= 0]
    done = [count for count in (rows.successfulCount, rows.failedCount) if count >= 0]
    return JobView(
        name=job.name,
        state=job.state,
        created_at=job.createTime,
        started_at=job.startTime,
        error=_error(job),
        steps=sum(done) if done else None,
        steps_total=sum(known) if known else None,
    )


def _error(job: _KnownJob) -> JobError | None:
    if job.error is None or not (job.error.message or job.error.code):
        return None
    return JobError(code=job.error.code, message=job.error.message or "it gave no reason")
