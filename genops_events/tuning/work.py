"""The work of tuning beside its job: the training file is looked at, the money reserved, and the job's end made a verdict."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from genops_events.cascade.spending import StageLimit, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.prices import tuning_note
from genops_events.record import paths as record_paths
from genops_events.record.stages import Outcome
from genops_events.record.tuning import Validation
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning import end as tuning_end
from genops_events.tuning import files as training_files
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.cancellation import has_ended
from genops_events.tuning.inputs import unusable_inputs
from genops_events.tuning.submission import cancelled, wish_to_cancel
from genops_events.waiting.polling import JobEnd

log = logging.getLogger(__name__)

CANCELLED_WITHIN = timedelta(minutes=10)
"""How long a job that took too long may take to be cancelled, or to end otherwise."""


def validate(run: StageRun) -> Validation:
    """Return what was found in the training file; it is looked at once."""
    path = record_paths.validation_path(run.candidate)
    found = run.store.read(path, Validation)
    if found is not None:
        return found
    try:
        validation = training_files.validate_arrival(
            run.store,
            run.arrival,
            run.config.file_limits(run.dataset.billed_model),
            invalid_lines=run.dataset.invalid_lines,
            validation_file=run.dataset.tuning.validation_file,
            method=run.dataset.tuning.method,
            note=tuning_note(run.config.catalogue, run.dataset.tuning.method),
        )
    except training_files.ObjectGone as error:
        validation = Validation(
            candidate=run.candidate, written_at=datetime.now(UTC), valid=False, summary=str(error), problems_total=1
        )
    return run.store.create_or_read(path, validation)


def reject(run: StageRun, validation: Validation) -> Verdict | None:
    """Conclude that nothing can be tuned: by the file, or by what later stages read; None where all of it can be used."""
    if not validation.valid:
        return run.conclude(TuningVerdict, Outcome.REJECTED, validation.summary, problems=validation.problems_total)
    missing = unusable_inputs(run)
    return None if missing is None else run.conclude(TuningVerdict, Outcome.REJECTED, missing)


def refuse(run: StageRun, validation: Validation) -> Verdict | None:
    """Conclude that the tuning job is not wanted any more; None once its cost is reserved.

    Raises:
        StepAside: it may not be paid for, and is held until somebody approves it.
    """
    dataset = run.dataset
    if wish_to_cancel(run) is not None:
        return cancelled(run)
    estimate = run.config.rates_for(dataset).tuning_cost(validation.tokens_estimate, dataset.tuning.epochs)
    pay_for(run, "tuning", estimate, limit=StageLimit("budget.tuning_usd", dataset.budget.tuning_usd))
    return None


def conclude(run: StageRun, name: str, end: JobEnd) -> Verdict | None:
    """Return the verdict on a tuning job that has ended, as it says itself now; None where it goes on.

    Args:
        run: the stage's work.
        name: of the job.
        end: what the trigger saw. A job that took too long is cancelled, and has `CANCELLED_WITHIN` to end of that.
    """
    if end is JobEnd.VANISHED:
        return tuning_end.vanished(run, name)
    job = tuning_jobs.get(run.config, name)
    if has_ended(job):
        return tuning_end.ended(run, job, tuned_on=validate(run).tuned_on, wish=wish_to_cancel(run))
    if end is not JobEnd.TIMED_OUT:
        log.warning("%s was seen to have ended as %s, and has not: waiting on", name, end)
        return None
    wish = wish_to_cancel(run)
    if wish is not None and datetime.now(UTC) - wish.written_at >= CANCELLED_WITHIN:
        return tuning_end.timed_out(run, name)
    tuning_end.cancel_late(run)
    return None
