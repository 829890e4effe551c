"""Tuning: validate, reserve, tune (deferred), settle."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, finish
from genops_events.airflow.task_context import stepping_aside
from genops_events.airflow.waiting import WaitingOperator
from genops_events.cascade.paid_jobs import SubmitLater
from genops_events.cascade.stage_run import StageRun
from genops_events.record.paths import progress_path
from genops_events.record.stages import Stage
from genops_events.record.tuning import TuningProgress
from genops_events.record.verdicts import Verdict
from genops_events.tuning.end import conclude
from genops_events.tuning.jobs import TUNING_JOBS
from genops_events.tuning.submission import cancelled, submit
from genops_events.tuning.work import pay, reject, validate
from genops_events.waiting import queue
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from triggers.vertex_job import VertexJobTrigger


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
                queue.enter(run.store, run.candidate, since=context["dag_run"].run_after)
                return {"examples": validation.examples, "tokens_estimate": validation.tokens_estimate}
        return finish(run, verdict)


class TuneModel(WaitingOperator):
    """Submit the candidate's tuning job once, wait for it without a worker, and settle what it cost.

    The task holds one of the project's places for tuning jobs (an Airflow pool) from its start until its job has ended;
    before, it waits as a scheduled task, which costs nothing.
    """

    stage = Stage.TUNING
    jobs = TUNING_JOBS

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Reserve the money, submit or adopt the job, and defer until it has ended."""
        run.take_on()
        queue.leave(run.store, run.candidate, since=context["dag_run"].run_after)
        validation = validate(run)
        return self.wait_for_job(
            run, context, pay=partial(pay, run, validation), submit=partial(submit, run, validation)
        )

    def cancelled(self, run: StageRun) -> Verdict | None:
        """Return the verdict on a candidate that was cancelled before its tuning job was submitted."""
        return cancelled(run)

    def conclude(self, run: StageRun, job: str, seen: JobEnd) -> Verdict | None:
        """Return the verdict on the tuning job, as it says itself now; None where it goes on."""
        return conclude(run, job, seen)

    def note_pause(self, run: StageRun, error: SubmitLater) -> None:
        """Note in the record why the tuning job is not submitted yet."""
        state = f"waits to be submitted: {error}"
        progress = TuningProgress(candidate=run.candidate, written_at=datetime.now(UTC), state=state)
        run.store.put(progress_path(run.candidate), progress)

    def trigger(self) -> type[VertexJobTrigger]:
        """Return the trigger that waits for a tuning job."""
        from triggers.tuning_job import TuningJobTrigger

        return TuningJobTrigger
