"""Look at long-running Vertex AI jobs: a page of the listing, or one job.

The answers are read as the JSON that the REST API documents, and not by google-genai, which takes 50 to 130 ms of a core
for a page of a hundred jobs (docs/adr/0011).
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/projects.locations.tuningJobs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from genops_events.gcp.clients import genai_client, vertex_session
from genops_events.gcp.errors import google_call
from genops_events.jobs import JobError, JobView

if TYPE_CHECKING:
    from requests import Response

PAGE_SIZE = 100
"""The most that Vertex AI puts on a page."""

LOOK_TIMEOUT_SECONDS = 20.0
NOT_FOUND = 404


class JobKind(StrEnum):
    """What is waited for; the values are stored with triggers."""

    TUNING = "tuning"
    BATCH = "batch"


_COLLECTIONS = {JobKind.TUNING: "tuningJobs", JobKind.BATCH: "batchPredictionJobs"}


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and whether there are older ones."""

    jobs: tuple[JobView, ...]
    more: bool


class JobViews:
    """Reads the jobs of one kind, project and region. Every call blocks: in an event loop, make it in a thread.

    Each call is made once: whoever waits for a job backs off by itself, and logs it.

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

    def first_page(self) -> Page:
        """Return the newest jobs.

        Raises:
            CloudUnavailable: the service does not answer, or asks to be called later.
            CloudRefused: the call is not allowed.
        """
        self._token = ""
        return self.next_page()

    def next_page(self) -> Page:
        """Return the jobs before those of the page before; raises as `first_page` does."""
        with google_call(f"list the {self._kind} jobs"):
            answer = self._get(self._collection, {"pageSize": str(PAGE_SIZE), "pageToken": self._token})
            if self._kind is JobKind.TUNING:
                tuning = _decode_tuning_page(answer.content)
                self._token, jobs = tuning.nextPageToken, tuple(map(_tuning_view, tuning.tuningJobs))
            else:
                batches = _decode_batch_page(answer.content)
                self._token, jobs = batches.nextPageToken, tuple(map(_batch_view, batches.batchPredictionJobs))
        return Page(jobs, more=bool(self._token))

    def one(self, name: str) -> JobView | None:
        """Return the job of this name, or None where there is none; raises as `first_page` does."""
        from google.api_core.exceptions import NotFound

        with google_call(f"look at {name}"):
            try:
                content = self._get(name, {}).content
            except NotFound:
                return None
            if self._kind is JobKind.TUNING:
                return _tuning_view(_decode_tuning(content))
            return _batch_view(_decode_batch(content))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(self, name: str, query: Mapping[str, str]) -> Response:
        from google.api_core.exceptions import from_http_response

        answer: Response = self._session.get(f"{self._base}/v1beta1/{name}", params=query, timeout=LOOK_TIMEOUT_SECONDS)
        if not answer.ok:
            raise from_http_response(answer)
        return answer


def cancel_batch(name: str, *, project: str, location: str) -> None:
    """Ask Vertex AI to cancel a batch prediction job; it may still end otherwise."""
    with google_call(f"cancel {name}"), genai_client(project, location) as client:
        client.batches.cancel(name=name)


# What is read of the answers: their names, and numbers of 64 bits as texts, are those of the REST API.
# ruff: noqa: N815


class _Error(msgspec.Struct):
    code: int | None = None
    message: str = ""


class _Job(msgspec.Struct, kw_only=True):
    name: str = ""
    state: str = "JOB_STATE_UNSPECIFIED"
    createTime: datetime | None = None
    startTime: datetime | None = None
    updateTime: datetime | None = None
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


class _TuningJob(_Job, kw_only=True):
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
    """-1 where Vertex AI does not know."""


class _BatchJob(_Job, kw_only=True):
    completionStats: _Rows | None = None


class _TuningPage(msgspec.Struct):
    tuningJobs: list[_TuningJob] = []
    nextPageToken: str = ""


class _BatchPage(msgspec.Struct):
    batchPredictionJobs: list[_BatchJob] = []
    nextPageToken: str = ""


JobT = TypeVar("JobT")


class _Decoder(Generic[JobT]):
    """Decodes an answer of one shape; numbers may be texts."""

    def __init__(self, kind: type[JobT]) -> None:
        self._decode = msgspec.json.Decoder(kind, strict=False).decode

    def __call__(self, content: bytes) -> JobT:
        return self._decode(content)


_decode_tuning = _Decoder(_TuningJob)
_decode_batch = _Decoder(_BatchJob)
_decode_tuning_page = _Decoder(_TuningPage)
_decode_batch_page = _Decoder(_BatchPage)


def _tuning_view(job: _TuningJob) -> JobView:
    """Return what a tuning job says about itself."""
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
        updated_at=job.updateTime,
        error=_error(job),
        epochs=done.completedEpochCount,
        epochs_total=parameters.epochCount if parameters is not None else None,
        steps=done.completedStepCount,
        steps_total=figures.tuningStepCount,
        # Statistics of a distillation leave out the teacher's answers, which are billed.
        tokens=None if distilled is not None else figures.totalBillableTokenCount,
    )


def _batch_view(job: _BatchJob) -> JobView:
    """Return what a batch prediction job says about itself; its steps are rows."""
    rows = job.completionStats or _Rows()
    known = [count for count in (rows.successfulCount, rows.failedCount, rows.incompleteCount) if count >= 0]
    done = [count for count in (rows.successfulCount, rows.failedCount) if count >= 0]
    return JobView(
        name=job.name,
        state=job.state,
        created_at=job.createTime,
        started_at=job.startTime,
        updated_at=job.updateTime,
        error=_error(job),
        steps=sum(done) if done else None,
        steps_total=sum(known) if known else None,
    )


def _error(job: _Job) -> JobError | None:
    if job.error is None or not (job.error.message or job.error.code):
        return None
    return JobError(code=job.error.code, message=job.error.message or "it gave no reason")
