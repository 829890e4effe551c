"""Wait for a Vertex AI tuning job without holding a worker."""

from __future__ import annotations

from typing import Any, ClassVar

from triggers.vertex_job import VertexJobTrigger


class TuningJobTrigger(VertexJobTrigger):
    """Wait for a candidate's tuning job; how far it is goes to the task's log and to the record."""

    KIND: ClassVar[str] = "tuning"

    def stop(self, *, ended: bool) -> None:
        """Cancel the candidate's job; where its task has ended, record and announce that tuning has failed."""
        from genops_events.tuning.stop import stop_tuning

        task: Any = self.task_instance
        for job in stop_tuning(self.candidate, run_id=task.run_id, ended=ended):
            self.log.info("Asked Vertex AI to cancel %s: its task was %s", job, "ended" if ended else "cleared")
