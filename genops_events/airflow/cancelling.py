"""What happens when a person ends the Airflow task that waits for a job.

The job is asked first. One that has ended says itself how: Airflow also ends tasks by its own mistakes, and a trigger that
lives twice for a moment is told to end when the other one has fired.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from genops_events.airflow.stage import StageRun, settle_and_announce
from genops_events.airflow.tuning_end import as_the_job_says, job_has_ended
from genops_events.errors import GenopsError
from genops_events.gcp.cancellation import cancel_tuning
from genops_events.gcp.inference.batch_cancellation import cancel_batches, wish_to_cancel
from genops_events.record import BY_AIRFLOW
from genops_events.stages import Stage
from genops_events.verdicts import Verdict

log = logging.getLogger(__name__)

WAITING_TRY = "genops_waiting_try"
"""XCom of a task that waits for a job: the number of its try. A cleared task is back, as another try, within two seconds."""

CANCELLED_WITHIN_SECONDS = 20.0
"""How long a cancelled job is waited for, so that its verdict comes at once; after that, a sweep finds out how it ended."""


def stop_tuning(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's tuning jobs; return the names of those that were under way.

    Dying in the middle leaves the rest to the sweep, which finds a Dag run that is over and no verdict.

    Args:
        candidate: whose job.
        run_id: the Dag run whose task was ended; another one's is left alone.
        ended: the task will not come back, so the verdict is recorded and announced here. Otherwise it was cleared: it runs
            again, finds the job cancelled, and records that.
    """
    run = StageRun(Stage.TUNING, candidate, run_id)
    if not _is_owner(run):
        return []
    jobs: list[str] = []
    if not _known(job_has_ended, run):
        reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
        jobs = cancel_tuning(run.config, run.store, candidate, by=BY_AIRFLOW, reason=reason)
    if ended:
        _end(run, as_the_job_says, "Its task in Airflow was marked as failed, or removed, and it had no tuning job.")
    return jobs


def stop_answering(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's batch job; return the names of those that were under way. Arguments as `stop_tuning`.

    The answers of a job that has ended are left to the stage, which a sweep lets go on: to join them may take minutes.
    """
    # Not above: a Dag file of tuning would import what makes the answers.
    from genops_events.airflow.batch_end import as_the_batch_says, batch_has_ended

    run = StageRun(Stage.INFERENCE, candidate, run_id)
    if not _is_owner(run) or _known(batch_has_ended, run):
        return []
    reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
    wish_to_cancel(run.store, candidate, by=BY_AIRFLOW, reason=reason)
    jobs = cancel_batches(run.config, run.store, candidate)
    if ended:
        _end(run, as_the_batch_says, "Its task in Airflow was marked as failed, or removed, and it had no batch job.")
    return jobs


def _is_owner(run: StageRun) -> bool:
    owner = run.owner()
    return owner is not None and owner.run_id == run.run_id and run.store.verdict(run.candidate, run.stage) is None


def _known(has_ended: Callable[[StageRun], bool], run: StageRun) -> bool:
    """Return whether the job is known to have ended; False where it cannot be asked just now: that it be cancelled is noted."""
    try:
        return has_ended(run)
    except GenopsError as error:
        log.warning("The job of %s cannot be asked: %s", run.candidate, error)
        return False


def _end(run: StageRun, conclude: Callable[[StageRun, str], Verdict | None], reason: str) -> None:
    """Record and announce how the job has ended, once it has; a sweep does so where that takes longer."""
    latest = time.monotonic() + CANCELLED_WITHIN_SECONDS
    while (verdict := conclude(run, reason)) is None:
        if time.monotonic() > latest:
            log.warning("%s of %s has not ended yet: a sweep finds out how it does", run.stage, run.candidate)
            return
        time.sleep(1)
    settle_and_announce(run, verdict)
