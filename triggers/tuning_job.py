"""Wait for a Vertex AI tuning job without holding a worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from genops_events.jobs import is_news
from triggers.progress import ProgressRecorder
from triggers.vertex_job import VertexJobTrigger

if TYPE_CHECKING:
    from genops_events.jobs import JobView


class TuningJobTrigger(VertexJobTrigger):
    """Wait for a candidate's tuning job; how far it is goes to the task's log and to the record."""

    KIND: ClassVar[str] = "tuning"

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
        ProgressRecorder.of_this_loop().note(self.job, view, candidate=self.candidate, say=self.log.info)

    def stop(self, *, ended: bool) -> None:
        """Cancel the candidate's job; where its task has ended, record and announce that tuning has failed."""
        from genops_events.airflow.cancelling import stop_tuning

        task: Any = self.task_instance
        for job in stop_tuning(self.candidate, run_id=task.run_id, ended=ended):
            self.log.info("Asked Vertex AI to cancel %s: its task was %s", job, "ended" if ended else "cleared")
