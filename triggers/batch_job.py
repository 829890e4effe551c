"""Wait for a Vertex AI batch prediction job without holding a worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from genops_events.jobs import is_news
from triggers.progress import ProgressRecorder
from triggers.vertex_job import VertexJobTrigger

if TYPE_CHECKING:
    from genops_events.jobs import JobView


class BatchJobTrigger(VertexJobTrigger):
    """Wait for a batch prediction job; that of a candidate tells how far it is in the task's log and in the record."""

    KIND: ClassVar[str] = "batch"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._told: JobView | None = None
        self._told_at = 0.0

    def seen(self, view: JobView) -> None:
        """Tell how far the job is, if that is news."""
        clock = time.monotonic()
        if not is_news(self._told, view, seconds=clock - self._told_at):
            return
        self._told, self._told_at = view, clock
        recorder = ProgressRecorder.of_this_loop()
        recorder.note(self.job, view, candidate=self.candidate, say=self.log.info, kind=self.KIND)

    def stop(self, *, ended: bool) -> None:
        """Cancel the job: a batch that nobody waits for is of no use.

        Where the candidate's task has ended, record and announce that inference has failed.
        """
        if self.candidate:
            from genops_events.airflow.cancelling import stop_answering

            task: Any = self.task_instance
            stop_answering(self.candidate, run_id=task.run_id, ended=ended)
        else:
            from genops_events.gcp.job_views import cancel_batch

            cancel_batch(self.job, project=self.project, location=self.location)
        self.log.info("Asked Vertex AI to cancel %s", self.job)
