"""Cancel a candidate's tuning job, and say so in the record first."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.gcp.errors import CloudRefused
from genops_events.record import paths as record_paths
from genops_events.record.tuning import Cancellation, Submission
from genops_events.tuning import jobs as tuning_jobs
from genops_events.waiting.polling import ENDS, key_of
from genops_events.waiting.views import JobKind, JobViews

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

CANCELLING = "JOB_STATE_CANCELLING"


def cancel_tuning(
    config: Config, store: RecordStore, candidate: str, *, by: str, reason: str, claimed: str | None = None
) -> list[str]:
    """Cancel every tuning job of `candidate` that is under way; return their names, none where none was.

    The wish is recorded first: a task that submits at this moment finds it right after its call, and cancels as well.
    Dying between the two is mended by doing it again. The first who asks is the one that the verdict names.

    Args:
        config: project and location.
        store: the record.
        candidate: whose jobs.
        by: who asks, such as `ada@example.com`.
        reason: why, a sentence.
        claimed: who the environment of the command says it is.
    """
    wish = Cancellation(candidate=candidate, written_at=datetime.now(UTC), by=by, reason=reason, claimed=claimed)
    store.create(record_paths.cancellation_path(candidate), wish)
    submission = store.read(record_paths.submission_path(candidate), Submission)
    return cancel_jobs(config, candidate, known=None if submission is None else submission.job)


def cancel_jobs(config: Config, candidate: str, *, but: str | None = None, known: str | None = None) -> list[str]:
    """Cancel every tuning job of `candidate` that is under way and not being cancelled; return their names.

    Args:
        config: project and location.
        candidate: whose jobs.
        but: name of the one that goes on.
        known: name of one that a listing may not show yet.
    """
    jobs = tuning_jobs.find_all(config, candidate)
    names = [job.name for job in jobs if job.name is not None and not has_ended(job) and not is_ending(job)]
    if known is not None and key_of(known) not in {key_of(job.name or "") for job in jobs} and _goes_on(config, known):
        names.append(known)
    cancelled = []
    for name in names:
        if but is not None and key_of(name) == key_of(but):
            continue
        try:
            tuning_jobs.cancel(config, name)
        except CloudRefused:
            if not has_ended(tuning_jobs.get(config, name)):  # it may have ended just now
                raise
            continue
        log.info("Asked Vertex AI to cancel %s of %s", name, candidate)
        cancelled.append(name)
    return cancelled


def _goes_on(config: Config, name: str) -> bool:
    views = JobViews(JobKind.TUNING, project=config.project, location=config.location)
    try:
        view = views.one(name)
    finally:
        views.close()
    return view is not None and view.state not in {*ENDS, CANCELLING}


def has_ended(job: TuningJob) -> bool:
    """Return whether the job is in a state that it cannot leave."""
    return job.state is not None and job.state.value in ENDS


def is_ending(job: TuningJob) -> bool:
    """Return whether somebody has asked to cancel the job already."""
    return job.state is not None and job.state.value == CANCELLING
