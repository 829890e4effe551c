"""Wait for a Vertex AI batch prediction job without holding a worker."""

from __future__ import annotations

from typing import Any, ClassVar

from triggers.vertex_job import VertexJobTrigger


class BatchJobTrigger(VertexJobTrigger):
    """Wait for a batch prediction job; that of a candidate tells how far it is in the task's log and in the record."""

    KIND: ClassVar[str] = "batch"

    def stop(self, *, ended: bool) -> None:
        """Cancel the job: a batch whose task has ended is of no use.

        Where the candidate's task has ended, record and announce that inference has failed.
        """
        if self.candidate:
            from genops_events.inference.stop import stop_answering

            task: Any = self.task_instance
            jobs = stop_answering(self.candidate, run_id=task.run_id, ended=ended)
        else:
            from genops_events.waiting.views import cancel_batch

            cancel_batch(self.job, project=self.project, location=self.location)
            jobs = [self.job]
        for job in jobs:
            self.log.info("Asked Vertex AI to cancel %s: its task was %s", job, "ended" if ended else "cleared")
