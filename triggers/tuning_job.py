"""Wait for a Vertex AI tuning job without holding a worker."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from genops_events.jobs import describe_state, expected_end, is_news
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
        from genops_events.record import Progress

        now = datetime.now(UTC)
        progress = Progress(
            candidate=self.candidate,
            written_at=now,
            job=self.job,
            state=describe_state(view.state, view.detail),
            epochs=view.epochs,
            epochs_total=view.epochs_total,
            steps=view.steps,
            steps_total=view.steps_total,
            tokens=view.tokens,
            expected_end_at=expected_end(view, now=now),
        )
        self.log.info("%s: %s", self.job, progress.summary)
        if self.candidate:
            ProgressRecorder.of_this_loop().note(progress)

    def stop(self, *, ended: bool) -> None:
        """Cancel the candidate's job; where its task has ended, record and announce that tuning has failed."""
        from genops_events.airflow.cancelling import stop_tuning

        task: Any = self.task_instance
        for job in stop_tuning(self.candidate, run_id=task.run_id, ended=ended):
            self.log.info("Asked Vertex AI to cancel %s: its task was %s", job, "ended" if ended else "cleared")
