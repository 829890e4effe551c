"""Tuning: validate, reserve, tune (deferred), settle."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, finish
from genops_events.airflow.task_context import stepping_aside
from genops_events.cascade.stage_run import StageRun
from genops_events.record import paths as record_paths
from genops_events.record.stages import Stage
from genops_events.record.tuning import Submission, TuningProgress
from genops_events.record.verdicts import Verdict
from genops_events.tuning.cancellation import cancel_jobs
from genops_events.tuning.submission import SubmitLater, cancelled, known_job, submit
from genops_events.tuning.work import CANCELLED_WITHIN, conclude, refuse, reject, validate
from genops_events.waiting import queue as tuning_queue
from genops_events.waiting.polling import JobEnd

log = logging.getLogger(__name__)


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
            validation = validate(run)
            verdict = reject(run, validation)
            if verdict is None:
                tuning_queue.enter(run.store, run.candidate, since=context["dag_run"].run_after)
                return {"examples": validation.examples, "tokens_estimate": validation.tokens_estimate}
        return finish(run, verdict)


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
        validation = validate(run)
        submission = known_job(run)
        if submission is None:
            refusal = refuse(run, validation)
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
            end = JobEnd(event["end"])
            verdict = conclude(run, job, end)
            if verdict is None:
                submission = known_job(run)
                assert submission is not None
                late = end is JobEnd.TIMED_OUT
                self._wait(run, submission, until=datetime.now(UTC) + CANCELLED_WITHIN if late else None)
        return finish(run, verdict)

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
            TuningProgress(
                candidate=run.candidate, written_at=datetime.now(UTC), state=f"waits to be submitted: {error}"
            ),
        )
        self.defer(trigger=DateTimeTrigger(moment=error.until), method_name="go_on")
        raise AssertionError("deferring raises")
