"""Write how far tuning jobs are into the record, without keeping anybody waiting."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from genops_events.errors import GenopsError

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record import Progress

log = logging.getLogger(__name__)


class ProgressRecorder:
    """Writes the latest progress of each candidate, one after the other; it ends when there is nothing left to write.

    What cannot be written is dropped: the next look at the job has newer figures, and nobody decides by these.
    """

    _shared: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, ProgressRecorder]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._pending: dict[str, Progress] = {}
        self._store: RecordStore | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_this_loop(cls) -> ProgressRecorder:
        """Return the recorder of the running event loop."""
        return cls._shared.setdefault(asyncio.get_running_loop(), cls())

    def note(self, progress: Progress) -> None:
        """Have `progress` written soon, in place of what was not written yet; returns at once."""
        self._pending[progress.candidate] = progress
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="recorder of progress", context=contextvars.Context())

    async def _run(self) -> None:
        while self._pending:
            progress = self._pending.pop(next(iter(self._pending)))
            try:
                await asyncio.to_thread(self._write, progress)
            except GenopsError as error:
                log.warning("The progress of %s is not recorded. %s", progress.candidate, error)
            except Exception:
                log.exception("The progress of %s is not recorded", progress.candidate)

    def _write(self, progress: Progress) -> None:
        from genops_events import record

        if self._store is None:
            from genops_events.config import load_config
            from genops_events.gcp.record_store import RecordStore

            self._store = RecordStore.open(load_config())
        self._store.put(record.progress_path(progress.candidate), progress)
