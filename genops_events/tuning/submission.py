"""Submit a candidate's tuning job, from the source model or from the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.cascade.job_ends import cancelled_before
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning import jobs
from genops_events.tuning.jobs import TUNING_JOBS

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.document import JobSubmission
    from genops_events.record.tuning import Validation


def submit(run: StageRun, validation: Validation) -> JobSubmission | None:
    """Submit the candidate's tuning job and record it, as `PaidJobs.submit` does; with `start_from: champion`, tune that further."""
    training_uri = validation.training_uri
    assert training_uri is not None
    further = run.dataset.tuning.start_from == "champion"
    champion = run.store.champion(run.arrival.dataset) if further else None

    def call() -> TuningJob:
        return jobs.submit(
            run.config,
            run.dataset,
            candidate=run.candidate,
            training_uri=training_uri,
            validation_uri=validation.validation_uri,
            champion_model=None if champion is None else champion.model,
            champion_checkpoint=None if champion is None else champion.checkpoint,
        )

    return TUNING_JOBS.submit(run, call)


def cancelled(run: StageRun) -> Verdict | None:
    """Conclude that the candidate was cancelled before a tuning job was submitted; None where it was not cancelled."""
    cancellation = TUNING_JOBS.cancellation_of(run.store, run.candidate)
    return (
        None
        if cancellation is None
        else run.conclude(TuningVerdict, Outcome.REJECTED, cancelled_before(TUNING_JOBS, cancellation))
    )
