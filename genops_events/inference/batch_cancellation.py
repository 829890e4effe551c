"""Cancel a candidate's batch prediction job, and say so in the record first."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.gcp.errors import CloudRefused
from genops_events.inference import batch_jobs
from genops_events.record import inference as places
from genops_events.record.inference import BatchAttempt, BatchCancellation, BatchSubmission
from genops_events.waiting.polling import ENDS, key_of
from genops_events.waiting.views import cancel_batch

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore

log = logging.getLogger(__name__)

_CANCELLING = "JOB_STATE_CANCELLING"


def wish_to_cancel(store: RecordStore, candidate: str, *, by: str, reason: str) -> None:
    """Record who wants the job not to go on: a task that submits at this moment finds it right after its call."""
    wish = BatchCancellation(candidate=candidate, written_at=datetime.now(UTC), by=by, reason=reason)
    store.create(places.cancellation_path(candidate), wish)


def cancel_batches(config: Config, store: RecordStore, candidate: str, *, but: str | None = None) -> list[str]:
    """Cancel every batch job of `candidate` that is under way; return their names. No call where none was ever submitted.

    Args:
        config: project and location.
        store: the record.
        candidate: whose jobs.
        but: name of the one that goes on.
    """
    recorded = store.read(places.submission_path(candidate), BatchSubmission)
    if recorded is None and store.read(places.attempt_path(candidate), BatchAttempt) is None:
        return []
    names = {key_of(job.name): job.name for job in batch_jobs.find_all(config, candidate) if job.name}
    if recorded is not None:
        names.setdefault(key_of(recorded.job), recorded.job)  # a listing may not show it yet
    cancelled = []
    for key, name in names.items():
        if but is not None and key == key_of(but):
            continue
        try:
            state = batch_jobs.get(config, name).state
            if state is not None and (state.value in ENDS or state.value == _CANCELLING):
                continue
            cancel_batch(name, project=config.project, location=config.places.of(name))
        except CloudRefused as error:
            log.info("%s is not cancelled, it has just ended or is gone: %s", name, error.message)
            continue
        log.info("Asked Vertex AI to cancel %s of %s", name, candidate)
        cancelled.append(name)
    return cancelled
