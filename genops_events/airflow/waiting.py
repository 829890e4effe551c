"""What the stages share that submit a paid job once and wait for it without a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, finish
from genops_events.airflow.task_context import stepping_aside
from genops_events.cascade.paid_jobs import CANCELLED_WITHIN, PaidJobs, SubmitLater
from genops_events.cascade.stage_run import StageRun
from genops_events.record.document import JobSubmission
from genops_events.record.verdicts import Verdict
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from triggers.vertex_job import VertexJobTrigger

log = logging.getLogger(__name__)


class WaitingOperator(StageOperator):
    """Do a stage by a job that is paid for: submit it once, wait for it without a worker, and conclude by what it says.

    Deferred tasks come back to `resume` and `go_on`: these names are stored in Airflow's database.
    """

    jobs: ClassVar[PaidJobs[Any]]

    def cancelled(self, run: StageRun) -> Verdict | None:
        """Return the verdict on a candidate that was cancelled before its job was submitted; None where it was not."""
        raise NotImplementedError

    def conclude(self, run: StageRun, job: str, seen: JobEnd) -> Verdict | None:
        """Return the verdict on the job of this name, as it says itself now; None where it goes on.

        Args:
            run: the stage's work.
            job: resource name.
            seen: how the trigger saw it end.
        """
        raise NotImplementedError

    def note_pause(self, run: StageRun, error: SubmitLater) -> None:
        """Note in the record why the job is not submitted yet."""
        raise NotImplementedError

    def trigger(self) -> type[VertexJobTrigger]:
        """Return the trigger that waits for the job; imported only where there is one to wait for."""
        raise NotImplementedError

    def wait_for_job(
        self, run: StageRun, context: Context, *, pay: Callable[[], None], submit: Callable[[], JobSubmission | None]
    ) -> Verdict:
        """Submit or adopt the job, and defer until it has ended; return the verdict on a candidate that was cancelled before.

        Args:
            run: the stage's work.
            context: of the task.
            pay: reserves the money; not called for a job that is paid for already.
            submit: submits the job, as `PaidJobs.submit` does.
        """
        from triggers.vertex_job import WAITING_TRY

        task: Any = context["ti"]
        task.xcom_push(key=WAITING_TRY, value=task.try_number)
        submission = self.jobs.known(run)
        if submission is None:
            try:
                if self.jobs.is_cancelled_without_job(run):
                    return self._cancelled(run)
                pay()
                submission = submit()
            except SubmitLater as error:
                self._go_on_at(run, error)
        if submission is not None:
            self._wait(run, submission)
        return self._cancelled(run)

    def _cancelled(self, run: StageRun) -> Verdict:
        verdict = self.cancelled(run)
        assert verdict is not None
        return verdict

    def go_on(self, context: Context, event: Any = None) -> dict[str, Any]:  # noqa: ARG002 - a moment has come
        """Try again to submit the job."""
        return self.execute(context)

    def resume(self, context: Context, event: dict[str, Any], job: str) -> dict[str, Any]:
        """Record how the job ended, as the job itself says now."""
        run = self.run_of(context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            seen = JobEnd(event["end"])
            with stepping_aside():
                # Two submissions that met have left a second job.
                self.jobs.cancel(run.config, run.store, run.candidate, but=job)
                verdict = self.conclude(run, job, seen)
            if verdict is None:
                submission = self.jobs.known(run)
                assert submission is not None
                late = seen is JobEnd.TIMED_OUT
                self._wait(run, submission, until=datetime.now(UTC) + CANCELLED_WITHIN if late else None)
        return finish(run, verdict)

    def _wait(self, run: StageRun, submission: JobSubmission, *, until: datetime | None = None) -> NoReturn:
        wait = self.jobs.wait_of(run.dataset)
        began = submission.written_at  # time in the queue is not the job's
        trigger = self.trigger()(
            project=run.config.project,
            location=run.config.places.of(submission.job),
            job=submission.job,
            poll_seconds=wait.poll_seconds,
            deadline=(until or began + timedelta(hours=wait.timeout_hours)).isoformat(),
            began=began.isoformat(),
            candidate=run.candidate,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"job": submission.job})
        raise AssertionError("deferring raises")

    def _go_on_at(self, run: StageRun, error: SubmitLater) -> NoReturn:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        log.warning("%s", error)
        self.note_pause(run, error)
        self.defer(trigger=DateTimeTrigger(moment=error.until), method_name="go_on")
        raise AssertionError("deferring raises")
