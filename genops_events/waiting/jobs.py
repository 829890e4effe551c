"""What a look at a long-running Vertex AI job shows: its state, how far it is, why it failed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed.

    Args:
        code: canonical code of `google.rpc.Code`, such as 3 for INVALID_ARGUMENT; None where it gave none.
        message: what the service says.
    """

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as a listing or a look at it alone shows it; None means that the service does not say.

    Args:
        name: resource name.
        state: as the API names it, such as `JOB_STATE_RUNNING`.
        detail: the finer state of a tuning job, such as `TUNING_JOB_STATE_WAITING_FOR_CAPACITY`.
        epochs: passes over the training file that are done.
        epochs_total: passes that were asked for.
        steps: tuning steps, or rows of a batch, that are done.
        steps_total: as many as there will be.
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
    9: ("FAILED_PRECONDITION", "Mend what the message names; then upload the file again."),
    13: (
        "INTERNAL",
        "The failure is Vertex AI's own: upload the file again, and show Google's support the job's name.",
    ),
    14: ("UNAVAILABLE", "Vertex AI was away for a while: upload the file again."),
}


LOOK = "Look at the job in the console before you upload the file again."
"""What a user does where nobody knows more."""


def code_name(code: int | None) -> str:
    """Return the canonical name of an error code, such as `INVALID_ARGUMENT`; `UNKNOWN` where there is none."""
    return _CODES[code][0] if code in _CODES else "UNKNOWN"


def help_for(code: int | None) -> str:
    """Return what a user does about a job that failed with this code."""
    if code in _CODES:
        return _CODES[code][1]
    return LOOK


_AT_WORK = ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")


def describe_state(state: str, detail: str | None) -> str:
    """Return a job's state in words: `tuning`, `waiting for capacity`, `paused`."""
    # The finer state is about a job at work; of one that is paused or being cancelled it may tell what it did before.
    named = detail if detail and state in _AT_WORK else state
    words = named.removeprefix("TUNING_JOB_STATE_").removeprefix("JOB_STATE_")
    return words.lower().replace("_", " ")


def expected_end(view: JobView, *, now: datetime) -> datetime | None:
    """Return when the job ends if it goes on as until now; None where nothing is known yet, or it does not go on.

    It goes by steps, and by whole epochs where no steps are told: Vertex AI tells those of reinforcement tuning alone
    (`TuningJobMetadata.completedStepCount` of its discovery document, revision 20261106).

    Args:
        view: as the job stands.
        now: aware, UTC.
    """
    done, total = (view.epochs, view.epochs_total) if view.steps is None else (view.steps, view.steps_total)
    if (
        view.state not in _AT_WORK
        or not done
        or not total
        or done >= total  # what is done with the model afterwards takes nobody knows how long
        or view.started_at is None
        or now <= view.started_at
    ):
        return None
    return view.started_at + (now - view.started_at) * (total / done)


NEWS_SECONDS = 60.0
"""How often steps alone are worth a line in a log and a write to the record."""


def is_news(before: JobView | None, after: JobView, *, seconds: float) -> bool:
    """Return whether `after` is worth telling.

    Args:
        before: what was told last; None before the first time.
        after: as the job stands.
        seconds: since it was told.
    """
    if before is None or (before.state, before.detail, before.epochs) != (after.state, after.detail, after.epochs):
        return True
    return before.steps != after.steps and seconds >= NEWS_SECONDS
