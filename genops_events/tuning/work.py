"""The work of tuning before its job: validate the training file, and reserve the cost."""

from __future__ import annotations

from datetime import UTC, datetime

from genops_events.cascade.spending import StageLimit, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.prices import tuning_note
from genops_events.record import paths as record_paths
from genops_events.record.stages import Outcome
from genops_events.record.tuning import Validation
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning.files import ObjectGone, validate_arrival
from genops_events.tuning.inputs import unusable_inputs


def validate(run: StageRun) -> Validation:
    """Return the validation of the training file; the file is validated once, and the result recorded."""
    path = record_paths.validation_path(run.candidate)
    found = run.store.read(path, Validation)
    if found is not None:
        return found
    try:
        validation = validate_arrival(
            run.store,
            run.arrival,
            run.config.file_limits(run.dataset.billed_model),
            invalid_lines=run.dataset.invalid_lines,
            validation_file=run.dataset.tuning.validation_file,
            method=run.dataset.tuning.method,
            note=tuning_note(run.config.catalogue, run.dataset.tuning.method),
        )
    except ObjectGone as error:
        validation = Validation(
            candidate=run.candidate, written_at=datetime.now(UTC), valid=False, summary=str(error), problems_total=1
        )
    return run.store.create_or_read(path, validation)


def reject(run: StageRun, validation: Validation) -> Verdict | None:
    """Reject the candidate if its file, or an input of a later stage, cannot be used; None where all can."""
    if not validation.valid:
        return run.conclude(TuningVerdict, Outcome.REJECTED, validation.summary, problems=validation.problems_total)
    missing = unusable_inputs(run)
    return None if missing is None else run.conclude(TuningVerdict, Outcome.REJECTED, missing)


def pay(run: StageRun, validation: Validation) -> None:
    """Reserve the estimated cost of the tuning job.

    Raises:
        StepAside: it would go over a limit, and is held until a person approves it.
    """
    dataset = run.dataset
    estimate = run.config.rates_for(dataset).tuning_cost(validation.tokens_estimate, dataset.tuning.epochs)
    pay_for(run, "tuning", estimate, limit=StageLimit("budget.tuning_usd", dataset.budget.tuning_usd))
