"""What stops the work of a stage has in common, when a person ends the Airflow task that waits for its job.

The job is asked first. One that has ended says itself how: Airflow also ends tasks by its own mistakes, and a trigger that
lives twice for a moment is ended when the other one has fired.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from genops_events.cascade.stage_end import StageEnd, settle_and_announce
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import GenopsError

log = logging.getLogger(__name__)

CANCELLED_WITHIN_SECONDS = 20.0
"""How long a cancelled job is waited for, so that its verdict comes at once; after that, a sweep finds out how it ended."""


def is_at_work(run: StageRun) -> bool:
    """Return whether the stage is this Dag run's, and has no verdict yet."""
    owner = run.owner()
    return owner is not None and owner.run_id == run.run_id and run.store.verdict(run.candidate, run.stage) is None


def is_over(has_ended: Callable[[StageRun], bool], run: StageRun) -> bool:
    """Return whether the job is known to have ended; False where it cannot be asked just now: that it be cancelled is noted."""
    try:
        return has_ended(run)
    except GenopsError as error:
        log.warning("Vertex AI does not say how the job of %s stands: %s", run.candidate, error)
        return False


def end_soon(run: StageRun, end: StageEnd, reason: str) -> None:
    """Record and announce how the job has ended, once it has; a sweep does so where that takes longer."""
    latest = time.monotonic() + CANCELLED_WITHIN_SECONDS
    while (verdict := end.failed(run, reason)) is None:
        if time.monotonic() > latest:
            log.warning("%s of %s has not ended yet; a sweep will record how it ends", run.stage, run.candidate)
            return
        time.sleep(1)
    settle_and_announce(run, verdict, end)
