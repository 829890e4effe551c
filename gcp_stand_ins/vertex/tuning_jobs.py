"""A tuning job: what is kept of it, and what follows from that at a given moment. No I/O."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcp_stand_ins.vertex.base_models import served_parent
from gcp_stand_ins.vertex.job import TERMINAL, Job, timestamp
from gcp_stand_ins.vertex.tuning_requests import DISTILLATION, method_of

DEFAULT_EPOCHS = 4
"""Where the caller leaves the number of epochs to the service."""
EXAMPLES_PER_STEP = 16
MAX_CHECKPOINTS = 10


class Stage(enum.Enum):
    """Where a job is: the state that the API shows, and the finer state while it runs."""

    PENDING = ("JOB_STATE_PENDING", "TUNING_JOB_STATE_WAITING_FOR_QUOTA")
    PROCESSING = ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_PROCESSING_DATASET")
    WAITING = ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_WAITING_FOR_CAPACITY")
    TUNING = ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_TUNING")
    POST_PROCESSING = ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_POST_PROCESSING")
    CANCELLING = ("JOB_STATE_CANCELLING", "")
    SUCCEEDED = ("JOB_STATE_SUCCEEDED", "")
    FAILED = ("JOB_STATE_FAILED", "")
    CANCELLED = ("JOB_STATE_CANCELLED", "")
    EXPIRED = ("JOB_STATE_EXPIRED", "")
    PAUSED = ("JOB_STATE_PAUSED", "")
    PARTIALLY_SUCCEEDED = ("JOB_STATE_PARTIALLY_SUCCEEDED", "")


MAKES_MODEL = frozenset({Stage.SUCCEEDED, Stage.PARTIALLY_SUCCEEDED})
"""The ends that leave a model behind."""
_BEGINS = {
    Stage.PENDING: 0.0,
    Stage.PROCESSING: 0.05,
    Stage.WAITING: 0.15,
    Stage.TUNING: 0.25,
    Stage.POST_PROCESSING: 0.9,
}
"""The share of a job's duration after which each stage begins."""


@dataclass(frozen=True, slots=True)
class DataResult:
    """What came of reading the training data.

    Args:
        at: when it was known.
        rejection: why the data cannot be used; None where it can.
        rejection_code: canonical code of that error.
        examples: how many examples are learned from.
        stats: what `tuningDataStats` shows of it, but for the number of steps.
    """

    at: float
    rejection: str | None = None
    rejection_code: int = 3
    examples: int = 0
    stats: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningJob(Job):
    """All that is kept of a tuning job.

    Args:
        base_model: the publisher model at the bottom, for instance `gemini-2.5-flash`.
        model_id: of the model that it will make, or add a version to.
        endpoint_ids: of the endpoints that it will make, one for each checkpoint, the last one the model's own.
        continues: id of the job whose model this one starts from, for continuous tuning.
        version: of the model, once it is registered.
        teacher: id of the job that made the tuned model which it distils.
    """

    resource = "TuningJob"
    collection = "tuningJobs"

    base_model: str
    model_id: str
    endpoint_ids: tuple[str, ...]
    continues: str | None = None
    data: DataResult | None = None
    version: str | None = None
    teacher: str | None = None


def history(job: TuningJob) -> list[tuple[Stage, float]]:
    """Return the stages that the job passes through as far as is decided, each with the moment it begins.

    Later moments may lie in the future. The list ends early while the training data is not read yet, and for a job
    that hangs or pauses.
    """
    begins = {stage: job.created + share * job.fate.seconds for stage, share in _BEGINS.items()}
    course = [(stage, begins[stage]) for stage in (Stage.PENDING, Stage.PROCESSING)]
    data = job.data
    if data is not None and data.rejection is not None:
        course.append((Stage.FAILED, max(data.at, begins[Stage.WAITING])))
    elif data is not None:
        # Data that was late, for instance because the process was dead, puts off what follows: no stage is left out.
        late = max(0.0, data.at - begins[Stage.WAITING])
        course += [(stage, begins[stage] + late) for stage in (Stage.WAITING, Stage.TUNING)]
        course += _rest(job, late)
    if job.cancelled is None:
        return course
    passed = [(stage, begin) for stage, begin in course if begin <= job.cancelled]
    return passed + _ending(Stage.CANCELLED, job.cancelled + job.cancelling_seconds, job)


def _rest(job: TuningJob, late: float) -> list[tuple[Stage, float]]:
    """Return what follows the beginning of the tuning itself, `late` seconds late; nothing for a job that hangs."""
    if job.fate.hangs:
        return []
    outcome, course = Stage[job.fate.outcome.upper()], []
    if outcome is Stage.PAUSED:
        outcome = Stage.SUCCEEDED
        paused = job.pauses + late
        if job.resumed is None:
            return [(Stage.PAUSED, paused)]
        if job.resumed > paused:
            late += job.resumed - paused
            course = [(Stage.PAUSED, paused), (Stage.TUNING, job.resumed)]
    course.append((Stage.POST_PROCESSING, job.created + _BEGINS[Stage.POST_PROCESSING] * job.fate.seconds + late))
    return course + _ending(outcome, job.created + job.fate.seconds + late, job)


def _ending(last: Stage, at: float, job: TuningJob) -> list[tuple[Stage, float]]:
    """Return the last stages of a job that ends at `at`: a cancelled one is cancelling first."""
    if last is Stage.CANCELLED:
        return [(Stage.CANCELLING, at - job.cancelling_seconds), (Stage.CANCELLED, at)]
    return [(last, at)]


def stage_at(job: TuningJob, now: float) -> tuple[Stage, float]:
    """Return the stage that the job is in at `now`, and since when."""
    current = (Stage.PENDING, job.created)
    for stage, begin in history(job):
        if begin <= now:
            current = (stage, begin)
    return current


def state_at(job: TuningJob, now: float) -> str:
    """Return the state that the API shows at `now`."""
    return stage_at(job, now)[0].value[0]


def epochs_of(request: Mapping[str, Any]) -> int:
    """Return how many epochs a create call asks for."""
    _, spec = method_of(request)
    return int(spec.get("hyperParameters", {}).get("epochCount") or DEFAULT_EPOCHS)


def checkpoints_of(job: TuningJob) -> list[dict[str, str]]:
    """Return the checkpoints that a job whose data is read exports: at most the last ten epochs."""
    epochs, steps = epochs_of(job.request), _steps_per_epoch(job)
    first = epochs - len(job.endpoint_ids) + 1
    return [
        {
            "checkpointId": str(number),
            "epoch": str(epoch),
            "step": str(epoch * steps),
            "endpoint": f"{served_parent(job.base_model, job.parent)}/endpoints/{endpoint}",
        }
        for number, (epoch, endpoint) in enumerate(enumerate(job.endpoint_ids, start=first), start=1)
    ]


def _steps_per_epoch(job: TuningJob) -> int:
    return math.ceil(job.data.examples / EXAMPLES_PER_STEP) if job.data else 0


def view(job: TuningJob, now: float) -> dict[str, Any]:
    """Return the job as the API shows it at `now`: 64-bit numbers are strings, as in proto JSON."""
    stage, since = stage_at(job, now)
    state, finer = stage.value
    course = [(one, begin) for one, begin in history(job) if begin <= now]
    passed = dict(reversed(course))  # a resumed job tunes twice: from the first time
    shown: dict[str, Any] = {
        "name": job.name,
        **job.request,
        "state": state,
        "createTime": timestamp(job.created),
        "updateTime": timestamp(since),
        "experiment": f"{job.parent}/metadataStores/default/contexts/tuning-experiment-{job.id}",
    }
    if finer:
        shown["tuningJobState"] = finer
    if Stage.PROCESSING in passed:
        shown["startTime"] = timestamp(passed[Stage.PROCESSING])
    if state in TERMINAL:
        shown["endTime"] = timestamp(since)
    if job.data is not None and job.data.stats is not None and Stage.WAITING in passed:
        steps = epochs_of(job.request) * _steps_per_epoch(job)
        shown["tuningDataStats"] = _data_stats(job, {**job.data.stats, "tuningStepCount": str(steps)})
    if Stage.TUNING in passed:
        shown["tuningJobMetadata"] = _progress(job, passed, now)
    if error := _error(job, stage):
        shown["error"] = error
    if stage in MAKES_MODEL:
        checkpoints = checkpoints_of(job)
        shown["tunedModel"] = {
            "model": f"{job.parent}/models/{job.model_id}@{job.version or '1'}",
            "endpoint": checkpoints[-1]["endpoint"],
            "checkpoints": checkpoints,
        }
    return shown


def _data_stats(job: TuningJob, stats: dict[str, Any]) -> dict[str, Any]:
    method, _ = method_of(job.request)
    return {method.stats: {"trainingDatasetStats": stats} if method is DISTILLATION else stats}


def _progress(job: TuningJob, passed: Mapping[Stage, float], now: float) -> dict[str, str]:
    """Return how many epochs are done; a job that hangs never gets beyond half.

    `completedStepCount` is told of reinforcement tuning alone: TuningJobMetadata in Google's discovery documents.
    """
    whole = (_BEGINS[Stage.POST_PROCESSING] - _BEGINS[Stage.TUNING]) * job.fate.seconds
    until = now if job.cancelled is None else min(now, job.cancelled)
    if Stage.PAUSED in passed:
        pause = passed[Stage.PAUSED]
        until = pause if job.resumed is None else until - (job.resumed - pause)
    share = min(1.0, (until - passed[Stage.TUNING]) / whole)
    if job.fate.hangs:
        share = min(0.5, share)
    if Stage.POST_PROCESSING in passed:
        share = 1.0
    return {"completedEpochCount": str(int(share * epochs_of(job.request)))}


_ERRORS = {
    Stage.CANCELLED: (1, "The tuning job was cancelled."),
    Stage.FAILED: (13, "Internal error occurred while tuning (injected fault: job_outcome=failed)."),
}
"""Of the only two states in which a job shows an error: TuningJob.error in Google's discovery documents."""


def _error(job: TuningJob, stage: Stage) -> dict[str, Any] | None:
    if stage not in _ERRORS:
        return None
    if stage is Stage.FAILED and job.data is not None and job.data.rejection is not None:
        return {"code": job.data.rejection_code, "message": job.data.rejection}
    return job.error(*_ERRORS[stage])
