"""Write the progress of jobs to the task's log and to the record, without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from genops_events.errors import GenopsError
from genops_events.waiting.jobs import JobView, describe_state, expected_end

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.inference import InferenceProgress
    from genops_events.record.tuning import TuningProgress

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.01
"""Seconds between two jobs: Airflow takes a few hundred log lines a second from all triggers; more block their event loop."""


@dataclass(frozen=True, slots=True)
class JobNews:
    """The state of a candidate's job, and how to write to its task's log.

    Args:
        job: resource name as it was submitted: a listing may have the project's number in it.
        candidate: of the job; empty where there is no record to write to.
        view: state of the job.
        log_line: writes a line to the task's log, from any thread.
        seen_at: aware, UTC.
        context: variables by which Airflow knows the task that a log line belongs to.
        kind: of the job, `tuning` or `batch`.
    """

    job: str
    candidate: str
    view: JobView
    log_line: Callable[[str], None]
    seen_at: datetime
    context: contextvars.Context
    kind: str = "tuning"


class ProgressRecorder:
    """Writes the latest progress of each job, one after the other; its task ends when there is nothing left to write.

    Progress that cannot be written is dropped: the next look at the job has newer figures, and no decision depends on them.
    """

    _shared: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, ProgressRecorder]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._pending: dict[str, JobNews] = {}
        self._store: RecordStore | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_this_loop(cls) -> ProgressRecorder:
        """Return the recorder of the running event loop."""
        return cls._shared.setdefault(asyncio.get_running_loop(), cls())

    def note(
        self, job: str, view: JobView, *, candidate: str, log_line: Callable[[str], None], kind: str = "tuning"
    ) -> None:
        """Have the state of a job written soon, in place of an older one that is not written yet; returns at once."""
        context = contextvars.copy_context()
        self._pending[job] = JobNews(job, candidate, view, log_line, datetime.now(UTC), context, kind)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="recorder of progress", context=contextvars.Context())

    async def _run(self) -> None:
        while self._pending:
            news = self._pending.pop(next(iter(self._pending)))
            try:
                await asyncio.to_thread(news.context.run, self._write, news)
            except GenopsError as error:
                log.warning("The progress of %s is not recorded. %s", news.job, error)
            except Exception:
                log.exception("The progress of %s is not recorded", news.job)
            await asyncio.sleep(PAUSE_SECONDS)

    def _write(self, news: JobNews) -> None:
        path, progress = _batch_progress(news) if news.kind == "batch" else _tuning_progress(news)
        news.log_line(f"{news.job}: {progress.summary}")
        if not news.candidate:
            return
        if self._store is None:
            from genops_events.config import load_config
            from genops_events.gcp.record_store import RecordStore

            self._store = RecordStore.open(load_config())
        self._store.put(path, progress)


# Imported within these, in a thread: importing the record's models takes 0.2 s of a core.


def _tuning_progress(news: JobNews) -> tuple[str, TuningProgress]:
    from genops_events.record.paths import progress_path
    from genops_events.record.tuning import TuningProgress

    view = news.view
    progress = TuningProgress(
        candidate=news.candidate,
        written_at=news.seen_at,
        job=news.job,
        state=describe_state(view.state, view.detail),
        epochs=view.epochs,
        epochs_total=view.epochs_total,
        steps=view.steps,
        steps_total=view.steps_total,
        tokens=view.tokens,
        expected_end_at=expected_end(view, now=news.seen_at),
    )
    return progress_path(news.candidate), progress


def _batch_progress(news: JobNews) -> tuple[str, InferenceProgress]:
    from genops_events.record.inference import InferenceProgress, progress_path

    view = news.view
    progress = InferenceProgress(
        candidate=news.candidate,
        written_at=news.seen_at,
        job=news.job,
        state=f"batch job {describe_state(view.state, view.detail)}",
        rows=view.steps or 0,
        rows_total=view.steps_total,
    )
    return progress_path(news.candidate), progress
