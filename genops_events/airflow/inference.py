"""Inference: let the champion answer the dataset's prompts, online or by a batch prediction job."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import Context

from genops_events.airflow.stage import StageOperator, finish
from genops_events.cascade.stage_run import StageRun
from genops_events.gemini.replies import Totals
from genops_events.inference import batch_work as batch_answers
from genops_events.inference.batch_work import CANCELLED_WITHIN
from genops_events.inference.work import Answering
from genops_events.record.inference import BatchSubmission
from genops_events.record.stages import Stage
from genops_events.record.verdicts import Verdict
from genops_events.tuning.submission import SubmitLater
from genops_events.waiting.polling import JobEnd

log = logging.getLogger(__name__)


class AnswerPrompts(StageOperator):
    """Answer every prompt of the dataset with the promoted model, each once, and leave JSONL in the bucket.

    Online, the task works; for a batch job it waits without a worker.
    """

    stage = Stage.INFERENCE

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Return the verdict, with where the answers are; or defer until the batch job has ended.

        Raises:
            StepAside: genops.yaml or a price was changed since the budget was checked, the answers may cost more
                than was reserved then, and a limit is in the way: held until a person approves it.
        """
        from triggers.vertex_job import WAITING_TRY

        run.take_on()
        answering = Answering(run)
        if answering.plan.way == "online":
            answering.pay()
            return answering.answer_online()
        task: Any = context["ti"]
        task.xcom_push(key=WAITING_TRY, value=task.try_number)
        submission = batch_answers.known_job(run)
        if submission is None:
            verdict = batch_answers.cancelled(run)
            if verdict is not None:
                return verdict
            answering.pay()
            try:
                submission = batch_answers.submit(answering)
            except SubmitLater as error:
                self._go_on_at(answering, error)
        return self._wait(answering, submission)

    def go_on(self, context: Context, event: Any = None) -> dict[str, Any]:  # noqa: ARG002 - a moment has come
        """Try again to submit the batch job."""
        return self.execute(context)

    def resume(self, context: Context, event: dict[str, Any], job: str) -> dict[str, Any]:
        """Join the answers of the batch job, as the job itself says now how it ended."""
        run = self.run_of(context)
        verdict = run.store.verdict(run.candidate, self.stage)
        if verdict is None:
            answering = Answering(run)
            verdict = batch_answers.conclude(answering, job, JobEnd(event["end"]))
            if verdict is None:
                submission = batch_answers.known_job(run)
                assert submission is not None
                late = event["end"] == JobEnd.TIMED_OUT
                self._wait(answering, submission, until=datetime.now(UTC) + CANCELLED_WITHIN if late else None)
        return finish(run, verdict)

    def _wait(self, answering: Answering, submission: BatchSubmission, *, until: datetime | None = None) -> NoReturn:
        from triggers.batch_job import BatchJobTrigger

        run, batch = answering.run, answering.inference.batch
        began = submission.written_at
        trigger = BatchJobTrigger(
            project=run.config.project,
            location=run.config.places.of(submission.job),
            job=submission.job,
            poll_seconds=batch.poll_seconds,
            deadline=(until or began + timedelta(hours=batch.timeout_hours)).isoformat(),
            began=began.isoformat(),
            candidate=run.candidate,
        )
        self.defer(trigger=trigger, method_name="resume", kwargs={"job": submission.job})
        raise AssertionError("deferring raises")

    def _go_on_at(self, answering: Answering, error: SubmitLater) -> NoReturn:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        log.warning("%s", error)
        answering.tell(f"waits to submit the batch job: {error}", Totals())
        self.defer(trigger=DateTimeTrigger(moment=error.until), method_name="go_on")
        raise AssertionError("deferring raises")
