"""State, progress and error of a long-running Vertex AI job. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed.

    Args:
        code: canonical code of `google.rpc.Code`, such as 3 for INVALID_ARGUMENT; None where there is none.
        message: of the service.
    """

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as a listing or a single read shows it; None means that the service does not report it.

    Args:
        name: resource name.
        state: of the API, such as `JOB_STATE_RUNNING`.
        detail: the finer state of a tuning job, such as `TUNING_JOB_STATE_WAITING_FOR_CAPACITY`.
        epochs: completed epochs.
        epochs_total: epochs of the job's settings.
        steps: completed tuning steps, or rows of a batch.
        steps_total: number of all steps, or rows.
        tokens: billable tokens of the training file.
    """

    name: str
    state: str
    detail: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    error: JobError | None = None
    epochs: int | None = None
    epochs_total: int | None = None
    steps: int | None = None
    steps_total: int | None = None
    tokens: int | None = None


_CODES = {
    1: ("CANCELLED", "A person cancelled the job. Upload the file again to tune anew."),
    3: (
        "INVALID_ARGUMENT",
        "Check the file with `genops validate`, and `tuning` of the dataset; then upload it again.",
    ),
    4: ("DEADLINE_EXCEEDED", "Tune on fewer examples or epochs, or upload the file again."),
    5: (
        "NOT_FOUND",
        "Something that the job reads is gone: a bucket, a file, or the model to tune. Then upload again.",
    ),
    7: ("PERMISSION_DENIED", "Give Vertex AI's service agent the role that the message names; then upload again."),
    8: ("RESOURCE_EXHAUSTED", "Ask for a higher quota, or lower `tuning_jobs_at_once`; then upload the file again."),
    9: ("FAILED_PRECONDITION", "Fix what the message names; then upload the file again."),
    13: (
        "INTERNAL",
        "The failure is Vertex AI's own: upload the file again, and show Google's support the job's name.",
    ),
    14: ("UNAVAILABLE", "Vertex AI was away for a while: upload the file again."),
}


LOOK = "Look at the job in the console before you upload the file again."
"""Help for a job whose failure has no known code."""


def code_name(code: int | None) -> str:
    """Return the canonical name of an error code, such as `INVALID_ARGUMENT`; `UNKNOWN` where there is none."""
    return _CODES[code][0] if code in _CODES else "UNKNOWN"


def help_for(code: int | None) -> str:
    """Return what a user can do about a job that failed with this code."""
    if code in _CODES:
        return _CODES[code][1]
    return LOOK


_AT_WORK = ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")


def describe_state(state: str, detail: str | None) -> str:
    """Return a job's state in words: `tuning`, `waiting for capacity`, `paused`."""
    # The finer state is for a running job; of one that is paused or being cancelled, it may be out of date.
    named = detail if detail and state in _AT_WORK else state
    words = named.removeprefix("TUNING_JOB_STATE_").removeprefix("JOB_STATE_")
    return words.lower().replace("_", " ")


def expected_end(view: JobView, *, now: datetime) -> datetime | None:
    """Return when the job ends at its present rate; None where the rate is not known, or the job is not running.

    The rate is that of the steps, or of whole epochs where the job reports no steps: Vertex AI reports steps for
    reinforcement tuning only (`TuningJobMetadata.completedStepCount` of its discovery document, revision 20261106).

    Args:
        view: state of the job.
        now: aware, UTC.
    """
    done, total = (view.epochs, view.epochs_total) if view.steps is None else (view.steps, view.steps_total)
    if (
        view.state not in _AT_WORK
        or not done
        or not total
        or done >= total  # the time for the work after the last step is not known
        or view.started_at is None
        or now <= view.started_at
    ):
        return None
    return view.started_at + (now - view.started_at) * (total / done)


NEWS_SECONDS = 60.0
"""Least seconds between two reports of steps alone, each of which is a log line and a write to the record."""


def is_news(before: JobView | None, after: JobView, *, seconds: float) -> bool:
    """Return whether `after` is worth a report.

    Args:
        before: the state that was reported last; None before the first report.
        after: the present state.
        seconds: since the last report.
    """
    if before is None or (before.state, before.detail, before.epochs) != (after.state, after.detail, after.epochs):
        return True
    return before.steps != after.steps and seconds >= NEWS_SECONDS
