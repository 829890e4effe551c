"""Tell how far jobs are, in the task's log and in the record, without keeping anybody waiting."""

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
"""Between two jobs: Airflow takes a few hundred log lines a second from all triggers, and more block their event loop."""


@dataclass(frozen=True, slots=True)
class JobNews:
    """How a candidate's job stands, and who says so in its task's log.

    Args:
        job: resource name, as it was submitted: a listing may name the project by its number.
        candidate: what the job belongs to; empty where there is no record to write to.
        view: the job as it was seen.
        say: writes a line to the task's log, from any thread.
        seen_at: aware, UTC.
        context: by which Airflow knows whose log a line belongs to.
        kind: of the job, `tuning` or `batch`.
    """

    job: str
    candidate: str
    view: JobView
    say: Callable[[str], None]
    seen_at: datetime
    context: contextvars.Context
    kind: str = "tuning"


class ProgressRecorder:
    """Tells the latest progress of each job, one after the other; it ends when there is nothing left to tell.

    What cannot be written is dropped: the next look at the job has newer figures, and nobody decides by these.
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
        self, job: str, view: JobView, *, candidate: str, say: Callable[[str], None], kind: str = "tuning"
    ) -> None:
        """Have it told soon how a job stands, in place of what was not told yet; returns at once."""
        self._pending[job] = JobNews(job, candidate, view, say, datetime.now(UTC), contextvars.copy_context(), kind)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="recorder of progress", context=contextvars.Context())

    async def _run(self) -> None:
        while self._pending:
            news = self._pending.pop(next(iter(self._pending)))
            try:
                await asyncio.to_thread(news.context.run, self._tell, news)
            except GenopsError as error:
                log.warning("The progress of %s is not recorded. %s", news.job, error)
            except Exception:
                log.exception("The progress of %s is not recorded", news.job)
            await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self, news: JobNews) -> None:
        path, progress = _batch_progress(news) if news.kind == "batch" else _tuning_progress(news)
        news.say(f"{news.job}: {progress.summary}")
        if not news.candidate:
            return
        if self._store is None:
            from genops_events.config import load_config
            from genops_events.gcp.record_store import RecordStore

            self._store = RecordStore.open(load_config())
        self._store.put(path, progress)


# In the thread that calls these: the record's models take 0.2 s of a core to be imported.


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
