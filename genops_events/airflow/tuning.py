"""Tuning: validate, reserve, tune (deferred), settle."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, finish
from genops_events.airflow.task_context import stepping_aside
from genops_events.cascade.spending import StageLimit, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.prices import tuning_note
from genops_events.record import paths as record_paths
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tuning import Progress, Submission, Validation
from genops_events.record.verdicts import TuningVerdict, Verdict
from genops_events.tuning import end as tuning_end
from genops_events.tuning import files as training_files
from genops_events.tuning import jobs as tuning_jobs
from genops_events.tuning.cancellation import cancel_jobs, has_ended
from genops_events.tuning.inputs import unusable_inputs
from genops_events.tuning.submission import SubmitLater, cancelled, known_job, submit, wish_to_cancel
from genops_events.waiting import queue as tuning_queue
from genops_events.waiting.polling import JobEnd

log = logging.getLogger(__name__)

CANCELLED_WITHIN = timedelta(minutes=10)
"""How long a job that took too long may take to be cancelled, or to end otherwise."""


class ValidateTrainingData(StageOperator):
    """Check the whole training file, and what later stages read, before anything is spent; bad ones reject the candidate."""

    stage = Stage.TUNING

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the file's figures.

        Raises:
            AirflowSkipException: the file is not valid, or the model could not be judged or used; the verdict says why, the
                quarantine has the lines.
        """
        run = self.run_of(context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            with stepping_aside():
                run.take_on()
            validation = _validation(run)
            missing = unusable_inputs(run) if validation.valid else None
            if missing is not None:
                verdict = run.conclude(TuningVerdict, Outcome.REJECTED, missing)
                return finish(run, verdict)
            if validation.valid:
                tuning_queue.enter(run.store, run.candidate, since=context["dag_run"].run_after)
                return {"examples": validation.examples, "tokens_estimate": validation.tokens_estimate}
            verdict = run.conclude(
                TuningVerdict, Outcome.REJECTED, validation.summary, problems=validation.problems_total
            )
        return finish(run, verdict)


def _validation(run: StageRun) -> Validation:
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


class TuneModel(StageOperator):
    """Submit the candidate's tuning job once, wait for it without a worker, and settle what it cost.

    The task holds one of the project's places for tuning jobs (an Airflow pool) from its start until its job has ended;
    before, it waits as a scheduled task, which costs nothing.
    """

    stage = Stage.TUNING

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Reserve the money, submit or adopt the job, and defer until it has ended."""
        from triggers.vertex_job import WAITING_TRY

        run.take_on()
        task: Any = context["ti"]
        task.xcom_push(key=WAITING_TRY, value=task.try_number)
        tuning_queue.leave(run.store, run.candidate, since=context["dag_run"].run_after)
        validation = _validation(run)
        submission = known_job(run)
        if submission is None:
            refusal = _refusal(run, validation)
            if refusal is not None:
                return refusal
            try:
                submission = submit(run, validation)
            except SubmitLater as error:
                self._go_on_at(run, error)
        return cancelled(run) if submission is None else self._wait(run, submission)

    def go_on(self, context: Context, event: Any = None) -> dict[str, Any]:  # noqa: ARG002 - a moment has come
        """Try again to submit the job."""
        return self.execute(context)

    def resume(self, context: Context, event: dict[str, Any], job: str) -> dict[str, Any]:
        """Record how the job ended, as the job itself says now."""
        run = self.run_of(context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            cancel_jobs(run.config, run.candidate, but=job)  # what two submissions that met have left
            verdict = self._conclude(run, job, JobEnd(event["end"]))
        return finish(run, verdict)

    def _conclude(self, run: StageRun, name: str, end: JobEnd) -> Verdict:
        if end is JobEnd.VANISHED:
            return tuning_end.vanished(run, name)
        job = tuning_jobs.get(run.config, name)
        if has_ended(job):
            tuned_on = _validation(run).tuned_on
            return tuning_end.ended(run, job, tuned_on=tuned_on, wish=wish_to_cancel(run))
        submission = known_job(run)
        assert submission is not None
        if end is not JobEnd.TIMED_OUT:
            log.warning("%s was seen to have ended as %s, and has not: waiting on", name, end)
            return self._wait(run, submission)
        wish = wish_to_cancel(run)
        if wish is not None and datetime.now(UTC) - wish.written_at >= CANCELLED_WITHIN:
            return tuning_end.timed_out(run, name)
        tuning_end.cancel_late(run)
        return self._wait(run, submission, until=datetime.now(UTC) + CANCELLED_WITHIN)

    def _wait(self, run: StageRun, submission: Submission, *, until: datetime | None = None) -> NoReturn:
        from triggers.tuning_job import TuningJobTrigger

        tuning = run.dataset.tuning
        began = submission.written_at  # time in the queue is not the job's
        trigger = TuningJobTrigger(
            project=run.config.project,
            location=run.config.location,
            job=submission.job,
            poll_seconds=tuning.poll_seconds,
            deadline=(until or began + timedelta(hours=tuning.timeout_hours)).isoformat(),
            began=began.isoformat(),
            candidate=run.candidate,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"job": submission.job})
        raise AssertionError("deferring raises")

    def _go_on_at(self, run: StageRun, error: SubmitLater) -> NoReturn:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        log.warning("%s", error)
        run.store.put(
            record_paths.progress_path(run.candidate),
            Progress(candidate=run.candidate, written_at=datetime.now(UTC), state=f"waits to be submitted: {error}"),
        )
        self.defer(trigger=DateTimeTrigger(moment=error.until), method_name="go_on")
        raise AssertionError("deferring raises")


def _refusal(run: StageRun, validation: Validation) -> Verdict | None:
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
