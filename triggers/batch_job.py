"""Wait for a Vertex AI batch prediction job without holding a worker."""

from __future__ import annotations

from typing import ClassVar

from triggers.vertex_job import VertexJobTrigger


class BatchJobTrigger(VertexJobTrigger):
    """Wait for a batch prediction job."""

    KIND: ClassVar[str] = "batch"

    def stop(self, *, ended: bool) -> None:  # noqa: ARG002 - a batch that nobody waits for is of no use either way
        """Cancel the job."""
        from genops_events.gcp.job_views import cancel_batch

        cancel_batch(self.job, project=self.project, location=self.location)
        self.log.info("Asked Vertex AI to cancel %s", self.job)
