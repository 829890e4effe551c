"""A batch prediction job: what is accepted, what is kept of it, and what follows from that at a moment. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcp_stand_ins.vertex.errors import invalid, not_implemented
from gcp_stand_ins.vertex.job import CANCELLING, TERMINAL, Job, timestamp
from gcp_stand_ins.vertex.training_data import split_uri
from gcp_stand_ins.vertex.tuning_requests import check_labels

PENDING, RUNNING, PAUSED = "JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_PAUSED"
FAILED, CANCELLED = "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"
WRITTEN = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"})
"""The ends that leave predictions behind."""
_RUNNING_SHARE = 0.1
_ERRORS = {
    FAILED: (13, "Internal error occurred while predicting (injected fault: job_outcome=failed)."),
    CANCELLED: (1, "The batch prediction job was cancelled."),
}
"""Of the only two states in which a job shows an error: BatchPredictionJob.error in Google's discovery documents."""
_FIELDS = frozenset(
    {"displayName", "model", "inputConfig", "outputConfig", "labels", "encryptionSpec", "serviceAccount"}
)
_OUTPUT_ONLY = frozenset({"name", "state", "createTime", "startTime", "endTime", "updateTime"})


@dataclass(frozen=True, slots=True)
class Written:
    """What came of answering the rows.

    Args:
        at: when it was known.
        error: why there are no predictions; None where there are.
    """

    at: float
    successful: int = 0
    failed: int = 0
    error: str | None = None
    error_code: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob(Job):
    """All that is kept of a batch prediction job."""

    resource = "BatchPredictionJob"
    collection = "batchPredictionJobs"

    written: Written | None = None

    @property
    def directory(self) -> str:
        """Return the URI of the folder that the predictions go to."""
        prefix = str(self.request["outputConfig"]["gcsDestination"]["outputUriPrefix"]).rstrip("/")
        return f"{prefix}/prediction-model-{timestamp(self.created)}"


def read_create_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a create call asks for, checked; model and objects are for the caller to look up.

    Raises:
        ApiError: the request is not valid, or asks for what is not here.
    """
    if unknown := sorted(set(body) - _FIELDS - _OUTPUT_ONLY):
        raise invalid(
            f"Invalid JSON payload received. Unknown name \"{unknown[0]}\" at 'batch_prediction_job': Cannot find field."
        )
    request = {field: body[field] for field in _FIELDS if body.get(field) not in (None, "", {})}
    source, target = request.get("inputConfig", {}), request.get("outputConfig", {})
    for config, field in (
        (source, "bigquerySource"),
        (source, "vertexMultimodalDatasetSource"),
        (target, "bigqueryDestination"),
        (target, "vertexMultimodalDatasetDestination"),
    ):
        if field in config:
            raise not_implemented(f"batchPredictionJobs.create with {field}")
    uris = source.get("gcsSource", {}).get("uris")
    uris = [uris] if isinstance(uris, str) else uris
    if source.get("instancesFormat") != "jsonl" or not isinstance(uris, list) or not uris:
        raise invalid("input_config needs instances_format jsonl and gcs_source.uris.")
    for uri in uris:
        split_uri(uri, field="input_config.gcs_source.uris")
    prefix = target.get("gcsDestination", {}).get("outputUriPrefix")
    if target.get("predictionsFormat") != "jsonl" or not re.fullmatch(r"gs://[^/]+(/.*)?", str(prefix)):
        raise invalid(
            "output_config needs predictions_format jsonl and gcs_destination.output_uri_prefix, gs://BUCKET."
        )
    if not isinstance(request.get("model"), str):
        raise invalid("model is required.")
    check_labels(request.get("labels", {}))
    source["gcsSource"]["uris"] = uris
    return request


def due(job: BatchJob) -> float | None:
    """Return when the job ends by its fate, None while it hangs or pauses; its predictions may put that off."""
    if job.fate.hangs:
        return None
    end = job.created + job.fate.seconds
    if job.fate.outcome != "paused":
        return end
    if job.resumed is None:
        return None
    return end + max(0.0, job.resumed - job.pauses)


def outcome_of(job: BatchJob) -> str:
    """Return the state that the job is to end in."""
    return f"JOB_STATE_{'succeeded' if job.fate.outcome == 'paused' else job.fate.outcome}".upper()


def history(job: BatchJob) -> list[tuple[str, float]]:
    """Return the states that the job passes through as far as is decided, each with the moment it begins."""
    starts = job.created + _RUNNING_SHARE * job.fate.seconds
    course = [(PENDING, job.created), (RUNNING, starts)]
    written, end = job.written, due(job)
    if written is not None and written.error is not None:
        course.append((FAILED, max(starts, written.at)))
    else:
        if job.fate.outcome == "paused" and (job.resumed is None or job.resumed > job.pauses):
            course.append((PAUSED, job.pauses))
            if job.resumed is not None:
                course.append((RUNNING, job.resumed))
        outcome = outcome_of(job)
        if end is not None and outcome in WRITTEN:
            course += [(outcome, max(end, written.at))] if written else []
        elif end is not None:
            course += [(CANCELLING, end - job.cancelling_seconds)] if outcome == CANCELLED else []
            course.append((outcome, end))
    if job.cancelled is None:
        return course
    passed = [(state, begin) for state, begin in course if begin <= job.cancelled]
    return [*passed, (CANCELLING, job.cancelled), (CANCELLED, job.cancelled + job.cancelling_seconds)]


def state_at(job: BatchJob, now: float) -> str:
    """Return the state that the job is in at `now`."""
    return _current(job, now)[0]


def _current(job: BatchJob, now: float) -> tuple[str, float]:
    """Return the state that the job is in at `now`, and since when."""
    return [one for one in history(job) if one[1] <= now][-1] if now >= job.created else (PENDING, job.created)


def view(job: BatchJob, now: float) -> dict[str, Any]:
    """Return the job as the API shows it at `now`."""
    state, since = _current(job, now)
    shown: dict[str, Any] = {
        "name": job.name,
        **job.request,
        "state": state,
        "createTime": timestamp(job.created),
        "updateTime": timestamp(since),
    }
    started = [begin for one, begin in history(job) if one == RUNNING and begin <= now]
    if started:
        shown["startTime"] = timestamp(started[0])
    if state in TERMINAL:
        shown["endTime"] = timestamp(since)
    written = job.written
    if written is not None and state in WRITTEN:
        shown["completionStats"] = {"successfulCount": str(written.successful), "failedCount": str(written.failed)}
        shown["outputInfo"] = {"gcsOutputDirectory": job.directory}
    if state == FAILED and written is not None and written.error is not None:
        shown["error"] = {"code": written.error_code, "message": written.error}
    elif state in _ERRORS:
        shown["error"] = job.error(*_ERRORS[state])
    return shown
