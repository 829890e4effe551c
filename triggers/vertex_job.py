"""What the triggers that wait for a long-running Vertex AI job have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from genops_events.waiting.jobs import is_news
from genops_events.waiting.poller import JobPoller
from genops_events.waiting.polling import Ended, Wait
from genops_events.waiting.progress import ProgressRecorder
from triggers.events import event

if TYPE_CHECKING:
    from genops_events.waiting.jobs import JobView

_UNKNOWN = object()
WAITING_TRY = "genops_waiting_try"
"""XCom of a task that waits for a job: the number of its try. A cleared task is back, as another try, within two seconds."""

_ENDING_SECONDS = 60.0
"""Longest time that the end of a wait may hold up; every call within it has a shorter one."""


class VertexJobTrigger(BaseTrigger):
    """Fire once, when a job has ended, vanished or taken too long; every wait shares its project's poller.

    The event's payload is `{"job": name, "end": a value of JobEnd}`. The job goes on whatever happens to the trigger,
    unless a person ends the task that waits for it.

    Args:
        project: project of the job.
        location: region of the job.
        job: resource name.
        poll_seconds: pause between two looks at a young job.
        deadline: ISO 8601, UTC. Wall clock: this value survives a move to another triggerer.
        began: when the job was submitted, ISO 8601, UTC; now, where it is not known.
        candidate: what the job belongs to.
    """

    KIND: ClassVar[str]
    """A value of `genops_events.waiting.views.JobKind`."""

    def __init__(
        self,
        *,
        project: str,
        location: str,
        job: str,
        poll_seconds: float,
        deadline: str,
        began: str = "",
        candidate: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.project = project
        self.location = location
        self.job = job
        self.poll_seconds = poll_seconds
        self.deadline = deadline
        self.began = began
        self.candidate = candidate
        self._told: JobView | None = None
        self._told_at = 0.0
        self._ending: asyncio.Task[None] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores: plain JSON, no secrets."""
        names = ("project", "location", "job", "poll_seconds", "deadline", "began", "candidate")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the job has ended, whatever the service answers meanwhile."""
        from genops_events.waiting.views import JobKind

        began = datetime.fromisoformat(self.began) if self.began else datetime.now(UTC)
        wait = Wait(self.job, began, datetime.fromisoformat(self.deadline), self.poll_seconds)
        poller = JobPoller.of(JobKind(self.KIND), project=self.project, location=self.location)
        async with aclosing(poller.watch(wait)) as looks:
            async for look in looks:
                if isinstance(look, Ended):
                    # Airflow itself logs the event; each line more is one that it may have no time for.
                    yield event({"job": self.job, "end": str(look.end)})
                    return
                self.seen(look)

    def seen(self, view: JobView) -> None:
        """Tell how far the job is, if that is news; called after every look, must not block."""
        clock = time.monotonic()
        if not is_news(self._told, view, seconds=clock - self._told_at):
            return
        self._told, self._told_at = view, clock
        recorder = ProgressRecorder.of_this_loop()
        recorder.note(self.job, view, candidate=self.candidate, log_line=self.log.info, kind=self.KIND)

    async def on_kill(self) -> None:
        """Cancel the job if a person ended the task: marked it failed, cleared it, or deleted its Dag run.

        Airflow calls this as well when another triggerer has taken the wait over: then the same try is still deferred, and
        the job goes on. It also goes on where this cannot be found out, and when the task was marked as a success.
        """
        self._ending = asyncio.get_running_loop().create_task(self._end_with_task())
        await self._until_ended(self._ending)

    async def cleanup(self) -> None:
        """Hold the trigger until `on_kill` has done its work: what is logged later does not reach the log of the task.

        Airflow 3.3.2 cancels what it has cancelled again at each look, every second, and leaves `on_kill` the third time.
        """
        if self._ending is not None:
            await self._until_ended(self._ending)

    async def _until_ended(self, ending: asyncio.Task[None]) -> None:
        """Wait for the end of the wait, however often this is cancelled: it must not end half done."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _ENDING_SECONDS
        while not ending.done() and loop.time() < latest:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({ending}, timeout=latest - loop.time())
        if not ending.done():
            self.log.error(
                "The end of the wait for %s takes longer than %s s: a sweep goes on", self.job, _ENDING_SECONDS
            )
            return
        ending.result()

    async def _end_with_task(self) -> None:
        try:
            state = await self._task_state()
            if state == "deferred" and await self._waits_as_another_try():
                state = None  # cleared, and quicker back than Airflow has told us
        except Exception:
            self.log.exception("Airflow does not say whether the task still waits for %s, so the job goes on", self.job)
            return
        if state in ("deferred", "success"):
            self.log.info("The task that waits for %s is %s: the job goes on", self.job, state)
            return
        ended = state in ("failed", "skipped", "upstream_failed", "removed", "gone")
        await asyncio.to_thread(self.stop, ended=ended)

    def stop(self, *, ended: bool) -> None:
        """Cancel the job; may block.

        Args:
            ended: the task will not come back; otherwise it was cleared, and runs again.
        """
        raise NotImplementedError

    async def _task_state(self) -> str | None:
        """Return the state of the task that waits; `gone` where its Dag run was deleted, None where it was cleared."""
        # Where Airflow's own providers ask; `airflow.sdk` itself offers it on a worker only.
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        task: Any = self.task_instance
        states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
            dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
        )
        found = states.get(task.run_id, {}).get(task.task_id, _UNKNOWN)
        return "gone" if found is _UNKNOWN else None if found is None else str(found)

    async def _waits_as_another_try(self) -> bool:
        """Return whether the task that is deferred is not the one that this trigger was made by."""
        from airflow.sdk.bases.xcom import BaseXCom
        from asgiref.sync import sync_to_async

        task: Any = self.task_instance
        number = await sync_to_async(BaseXCom.get_one)(
            key=WAITING_TRY, dag_id=task.dag_id, task_id=task.task_id, run_id=task.run_id, map_index=task.map_index
        )
        return number is not None and number != task.try_number
