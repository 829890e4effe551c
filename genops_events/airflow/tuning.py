"""Tuning: validate, reserve, tune (deferred), settle."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context

from genops_events import record
from genops_events.airflow.stage import StageOperator, StageRun, finish
from genops_events.errors import TransientError
from genops_events.gcp import training_files, tuning_jobs
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.ledger_store import reserve
from genops_events.polling import ENDS, JobEnd
from genops_events.pricing import tuning_cost
from genops_events.record import Submission, TuningVerdict, Validation, Verdict
from genops_events.stages import Outcome, Stage
from genops_events.training_data import load_limits

if TYPE_CHECKING:
    from google.genai.types import TuningJob


log = logging.getLogger(__name__)


class SubmissionUnanswered(TransientError):
    """The submission of a tuning job got no answer, so there may be a job."""


class ValidateTrainingData(StageOperator):
    """Check the whole training file before anything is spent; a bad one ends its candidate as rejected."""

    stage = Stage.TUNING

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the file's figures.

        Raises:
            AirflowSkipException: the file is not valid; the verdict says why, the quarantine has the lines.
        """
        run = StageRun.of(self.stage, context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            run.take_on()
            validation = _validation(run)
            if validation.valid:
                return {"examples": validation.examples, "tokens_estimate": validation.tokens_estimate}
            verdict = run.conclude(
                TuningVerdict, Outcome.REJECTED, validation.summary, problems=validation.problems_total
            )
        return finish(run, verdict)


def _validation(run: StageRun) -> Validation:
    path = record.validation_path(run.candidate)
    found = run.store.read(path, Validation)
    if found is not None:
        return found
    try:
        validation = training_files.validate_arrival(
            run.store,
            run.arrival,
            load_limits(run.dataset.billed_model),
            invalid_lines=run.dataset.invalid_lines,
            validation_file=run.dataset.tuning.validation_file,
        )
    except training_files.ObjectGone as error:
        validation = Validation(
            candidate=run.candidate, written_at=datetime.now(UTC), valid=False, summary=str(error), problems_total=1
        )
    return run.store.create_or_read(path, validation)


class TuneModel(StageOperator):
    """Submit the candidate's tuning job once, wait for it without a worker, and settle what it cost."""

    stage = Stage.TUNING

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002, RET503 - deferring never returns
        """Reserve the money, submit or adopt the job, and defer until it has ended."""
        intent = run.take_on()
        dataset = run.dataset
        validation = _validation(run)
        estimate = tuning_cost(dataset.billed_model, validation.tokens_estimate, dataset.tuning.epochs)
        job = _known_job(run)
        if job is None:
            refusal = _refusal(run, estimate)
            if refusal is not None:
                return run.conclude(TuningVerdict, Outcome.REJECTED, refusal, estimated_usd=estimate)
            job = _submitted_job(run, validation)
        self.defer(
            trigger=_trigger(run, job, deadline=intent.started_at + timedelta(hours=dataset.tuning.timeout_hours)),
            method_name="resume",
            kwargs={"job": job},
        )

    def resume(self, context: Context, event: dict[str, Any], job: str) -> dict[str, Any]:
        """Record how the job ended, as the job itself says now."""
        run = StageRun.of(self.stage, context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            _cancel_others(run, job)
            verdict = _conclude(run, job, JobEnd(event["end"]))
        return finish(run, verdict)


def _refusal(run: StageRun, estimate: Decimal) -> str | None:
    """Return why the tuning job may not be paid for; None once its cost is reserved."""
    limit = run.dataset.budget.tuning_usd
    if estimate > limit:
        return (
            f"Tuning would cost about {estimate:.2f} USD, over `budget.tuning_usd` of {limit:.2f} USD. "
            "Upload fewer examples, or raise the limit in genops.yaml and upload again."
        )
    refusal = reserve(
        run.store,
        candidate=run.candidate,
        dataset=run.arrival.dataset,
        purpose="tuning",
        amount=estimate,
        limit=run.dataset.budget.monthly_usd,
        at=run.month,
    )
    return None if refusal is None else refusal.reason


def _known_job(run: StageRun) -> str | None:
    """Return the name of the candidate's tuning job, recorded or found by label; None where none was submitted.

    Such a job was paid for before: neither a lower budget nor a higher price can refuse it any more.
    """
    recorded = run.store.read(record.submission_path(run.candidate), Submission)
    if recorded is not None:
        return recorded.job
    job = tuning_jobs.find(run.config, run.candidate)
    return None if job is None else _recorded(run, job)


def _submitted_job(run: StageRun, validation: Validation) -> str:
    """Submit the candidate's tuning job and return its name.

    Dying after the submission and before its record is what the label is for. Once a name is recorded,
    no other job is ever submitted, even if this one vanishes.

    Raises:
        SubmissionUnanswered: nobody knows whether there is a job now.
    """
    assert validation.training_uri is not None
    try:
        job = tuning_jobs.submit(
            run.config,
            run.dataset,
            candidate=run.candidate,
            training_uri=validation.training_uri,
            validation_uri=validation.validation_uri,
        )
    except CloudUnavailable as error:
        raise SubmissionUnanswered(
            error.message, "The task looks for the job in two minutes, and adopts it."
        ) from error
    return _recorded(run, job)


def _recorded(run: StageRun, job: TuningJob) -> str:
    """Record `job` as the candidate's, unless another one is already; return the name of the recorded one."""
    assert job.name is not None
    submission = Submission(candidate=run.candidate, written_at=datetime.now(UTC), job=job.name)
    recorded = run.store.create_or_read(record.submission_path(run.candidate), submission)
    if recorded.job != job.name:
        tuning_jobs.cancel(run.config, job.name)  # another process was a moment faster: one job is enough
    return recorded.job


def _cancel_others(run: StageRun, job: str) -> None:
    """Cancel what two submissions that met left beside `job`: a lost answer, a task cleared while it submitted."""
    for other in tuning_jobs.find_all(run.config, run.candidate):
        state = other.state.value if other.state is not None else ""
        if other.name is not None and other.name != job and state not in ENDS:
            log.warning("Tuning job %s is a second one of %s and is cancelled", other.name, run.candidate)
            tuning_jobs.cancel(run.config, other.name)


def _trigger(run: StageRun, job: str, *, deadline: datetime) -> Any:
    from triggers.tuning_job import TuningJobTrigger

    return TuningJobTrigger(
        project=run.config.project,
        location=run.config.location,
        job=job,
        poll_seconds=run.dataset.tuning.poll_seconds,
        deadline=deadline.isoformat(),
    )


def _conclude(run: StageRun, name: str, end: JobEnd) -> Verdict:
    if end is JobEnd.VANISHED:
        reason = (
            f"Vertex AI does not know tuning job {name} any more. Look for it in the console before you upload again."
        )
        return run.conclude(TuningVerdict, Outcome.FAILED, reason, job=name)
    job = tuning_jobs.get(run.config, name)
    state = job.state.value if job.state is not None else ""
    if end is JobEnd.TIMED_OUT and state not in ENDS:
        tuning_jobs.cancel(run.config, name)
        hours = run.dataset.tuning.timeout_hours
        reason = f"Tuning job {name} took longer than `tuning.timeout_hours` ({hours:g}) and was cancelled."
        return run.conclude(TuningVerdict, Outcome.FAILED, reason, job=name)
    end = ENDS.get(state, end)  # as the job itself says now, whatever the trigger saw
    figures = _figures(run, job)
    if end is JobEnd.SUCCEEDED and job.tuned_model is not None and job.tuned_model.endpoint:
        reason = f"Tuned {run.dataset.source_model} on {_validation(run).tuned_on}."
        return run.conclude(
            TuningVerdict,
            Outcome.SUCCEEDED,
            reason,
            model=job.tuned_model.model,
            endpoint=job.tuned_model.endpoint,
            **figures,
        )
    said = job.error.message if job.error is not None and job.error.message else "it gave no reason"
    reason = f"Tuning job {name} ended as {end}: {said}."
    return run.conclude(TuningVerdict, Outcome.FAILED, reason, **figures)


def _figures(run: StageRun, job: TuningJob) -> dict[str, Any]:
    """Return what the job says about itself, and what it cost by the tokens that it was billed for."""
    stats = job.tuning_data_stats.supervised_tuning_data_stats if job.tuning_data_stats is not None else None
    figures: dict[str, Any] = {"job": job.name, "source_model": run.dataset.source_model}
    if stats is None:
        return figures
    if stats.tuning_dataset_example_count is not None:
        figures["examples"] = int(stats.tuning_dataset_example_count)
    if stats.total_billable_token_count is not None:
        # The count is that of the training file; each pass over it is billed.
        tokens = int(stats.total_billable_token_count)
        figures["billable_tokens"] = tokens
        figures["cost_usd"] = tuning_cost(run.dataset.billed_model, tokens, _epochs(run, job))
    return figures


def _epochs(run: StageRun, job: TuningJob) -> int:
    """Return how many passes the job made: as submitted, since genops.yaml may have changed meanwhile."""
    spec = job.supervised_tuning_spec
    parameters = spec.hyper_parameters if spec is not None else None
    epochs = parameters.epoch_count if parameters is not None else None
    return int(epochs) if epochs else run.dataset.tuning.epochs
