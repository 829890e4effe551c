"""Cancel a candidate's tuning job, and say so in the record first."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events import record
from genops_events.gcp import tuning_jobs
from genops_events.gcp.errors import CloudRefused
from genops_events.polling import ENDS
from genops_events.record import Cancellation

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)


def cancel_tuning(config: Config, store: RecordStore, candidate: str, *, by: str, reason: str) -> list[str]:
    """Cancel every tuning job of `candidate` that is under way; return their names, none where none was.

    The wish is recorded first: a task that submits at this moment finds it right after its call, and cancels as well.
    Dying between the two is mended by doing it again. The first who asks is the one that the verdict names.

    Args:
        config: project and location.
        store: the record.
        candidate: whose jobs.
        by: who asks, such as `ada@laptop`.
        reason: why, a sentence.
    """
    wish = Cancellation(candidate=candidate, written_at=datetime.now(UTC), by=by, reason=reason)
    store.create(record.cancellation_path(candidate), wish)
    return cancel_jobs(config, candidate)


def cancel_jobs(config: Config, candidate: str, *, but: str | None = None) -> list[str]:
    """Cancel every tuning job of `candidate` that is under way, except the one named `but`; return their names."""
    cancelled = []
    for job in tuning_jobs.find_all(config, candidate):
        if job.name is None or job.name == but or has_ended(job) or is_ending(job):
            continue
        try:
            tuning_jobs.cancel(config, job.name)
        except CloudRefused:
            if not has_ended(tuning_jobs.get(config, job.name)):  # it may have ended just now
                raise
            continue
        log.info("Asked Vertex AI to cancel %s of %s", job.name, candidate)
        cancelled.append(job.name)
    return cancelled


def has_ended(job: TuningJob) -> bool:
    """Return whether the job is in a state that it cannot leave."""
    return job.state is not None and job.state.value in ENDS


def is_ending(job: TuningJob) -> bool:
    """Return whether somebody has asked to cancel the job already."""
    return job.state is not None and job.state.value == "JOB_STATE_CANCELLING"
