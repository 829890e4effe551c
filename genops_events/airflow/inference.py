"""Inference: let the champion answer the dataset's prompts, online or by a batch prediction job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Context

from genops_events.airflow.waiting import WaitingOperator
from genops_events.cascade.paid_jobs import SubmitLater
from genops_events.cascade.stage_run import StageRun
from genops_events.gemini.replies import Totals
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.inference.batch_work import cancelled, conclude, submit
from genops_events.inference.work import CandidateInference
from genops_events.record.stages import Stage
from genops_events.record.verdicts import Verdict
from genops_events.waiting.polling import JobEnd

if TYPE_CHECKING:
    from triggers.vertex_job import VertexJobTrigger


class AnswerPrompts(WaitingOperator):
    """Answer every prompt of the dataset with the promoted model, each once, and leave JSONL in the bucket.

    Online, the task works; for a batch job it waits without a worker.
    """

    stage = Stage.INFERENCE
    jobs = BATCH_JOBS

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Return the verdict, with where the answers are; or defer until the batch job has ended.

        Raises:
            StepAside: genops.yaml or a price was changed since the budget was checked, the answers may cost more
                than was reserved then, and a limit is in the way: held until a person approves it.
        """
        run.take_on()
        inference = CandidateInference(run)
        if inference.plan.way == "online":
            inference.pay()
            return inference.answer_online()
        return self.wait_for_job(run, context, pay=inference.pay, submit=lambda: submit(inference))

    def cancelled(self, run: StageRun) -> Verdict | None:
        """Return the verdict on a candidate that was cancelled before its batch job was submitted."""
        return cancelled(run)

    def conclude(self, run: StageRun, job: str, seen: JobEnd) -> Verdict | None:
        """Join the answers of the batch job, as it says itself now how it ended; None where it goes on."""
        return conclude(CandidateInference(run), job, seen)

    def note_pause(self, run: StageRun, error: SubmitLater) -> None:
        """Note in the record why the batch job is not submitted yet."""
        CandidateInference(run).report_progress(f"waits to submit the batch job: {error}", Totals())

    def trigger(self) -> type[VertexJobTrigger]:
        """Return the trigger that waits for a batch job."""
        from triggers.batch_job import BatchJobTrigger

        return BatchJobTrigger
