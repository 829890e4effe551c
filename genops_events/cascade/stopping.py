"""What happens to a stage's paid job when a person ends the Airflow task that waits for it.

The job's own state is read first, since it may have ended: Airflow also ends tasks by its own mistakes, and a trigger that
runs twice for a moment is ended when the other one has fired.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from genops_events.cascade.job_ends import has_ended
from genops_events.cascade.paid_jobs import PaidJobs
from genops_events.cascade.stage_end import StageEnd, settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import GenopsError
from genops_events.record.document import BY_AIRFLOW

log = logging.getLogger(__name__)

CANCELLED_WITHIN_SECONDS = 20.0
"""Seconds to wait for the end of a cancelled job, to record its verdict at once; after that, a sweep records it."""


def stop(run: StageRun, jobs: PaidJobs[Any], end: StageEnd, *, ended: bool, leaves_ended: bool = False) -> list[str]:
    """Cancel the candidate's jobs; return the names of those that were under way.

    After a crash, the sweep does the rest: it finds a Dag run that is over, and no verdict.

    Args:
        run: of the Dag run whose task was ended; if another Dag run does the stage, its job is left alone.
        jobs: of the stage.
        end: of the stage.
        ended: True if the task does not run again, so that the verdict is recorded and announced here. False if it was
            cleared: it runs again, finds the job cancelled, and records that.
        leaves_ended: whether a job that has ended is left to the stage, since its verdict takes long.
    """
    owner = run.owner()
    if owner is None or owner.run_id != run.run_id or run.store.verdict(run.candidate, run.stage) is not None:
        return []
    cancelled: list[str] = []
    if not _is_over(jobs, run):
        reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
        cancelled = jobs.ask_to_cancel(run.config, run.store, run.candidate, by=BY_AIRFLOW, reason=reason)
    elif leaves_ended:
        return []
    if ended:
        _end_soon(run, end, f"Its task in Airflow was marked as failed, or removed, and it had no {jobs.noun}.")
    return cancelled


def _is_over(jobs: PaidJobs[Any], run: StageRun) -> bool:
    """Return whether the job is known to have ended; False where it cannot be read now: the cancellation is recorded then."""
    try:
        return has_ended(jobs, run)
    except GenopsError as error:
        log.warning("The state of the job of %s cannot be read: %s", run.candidate, error)
        return False


def _end_soon(run: StageRun, end: StageEnd, reason: str) -> None:
    """Wait for the end of the job, then record and announce the verdict; a sweep does so where it takes longer."""
    latest = time.monotonic() + CANCELLED_WITHIN_SECONDS
    while (verdict := end.failed(run, reason)) is None:
        if time.monotonic() > latest:
            log.warning("%s of %s has not ended yet; a sweep will record how it ends", run.stage, run.candidate)
            return
        time.sleep(1)
    settle_and_announce(run, verdict, end)
