"""Wait for a Vertex AI tuning job without holding a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from genops_events.polling import UNSEEN, Ended, back_off_seconds, on_state

log = logging.getLogger(__name__)


class TuningJobTrigger(BaseTrigger):
    """Fire once, when a tuning job has ended, vanished or taken too long.

    The event's payload is `{"job": name, "end": a value of JobEnd}`. The job goes on whatever happens to the trigger.

    Args:
        project: project of the job.
        location: region of the job.
        job: resource name, `projects/…/locations/…/tuningJobs/…`.
        poll_seconds: pause between two looks.
        deadline: ISO 8601, UTC. Wall clock: this value survives a move to another triggerer.
    """

    def __init__(self, *, project: str, location: str, job: str, poll_seconds: float, deadline: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.project = project
        self.location = location
        self.job = job
        self.poll_seconds = poll_seconds
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores: plain JSON, no secrets."""
        return (
            "triggers.tuning_job.TuningJobTrigger",
            {
                "project": self.project,
                "location": self.location,
                "job": self.job,
                "poll_seconds": self.poll_seconds,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the job until it has ended; a passing fault of the service only makes the pause longer.

        The first look comes after a pause: a job that was just submitted has not ended, and Airflow's scheduler
        takes a task for killed if it runs again before its executor has told that it was deferred.
        """
        from genops_events.gcp.job_states import JobStates

        deadline = datetime.fromisoformat(self.deadline)
        failures = absences = 0
        states = await asyncio.to_thread(JobStates, project=self.project, location=self.location)
        try:
            await asyncio.sleep(self.poll_seconds)
            while True:
                try:
                    state = await states.state(self.job)
                    failures = 0
                except Exception as error:  # noqa: BLE001 - a job that cannot be seen goes on, and costs, all the same
                    failures += 1
                    pause = back_off_seconds(failures, poll_seconds=self.poll_seconds)
                    log.warning("%s Looking again in %.0f s; the job is still under way.", error, pause)
                    if datetime.now(UTC) < deadline:
                        await asyncio.sleep(pause)
                        continue
                    state = UNSEEN
                decision = on_state(
                    state, now=datetime.now(UTC), deadline=deadline, poll_seconds=self.poll_seconds, absences=absences
                )
                if isinstance(decision, Ended):
                    yield TriggerEvent({"job": self.job, "end": str(decision.end)})
                    return
                absences = decision.absences
                await asyncio.sleep(decision.seconds)
        finally:
            await states.close()
