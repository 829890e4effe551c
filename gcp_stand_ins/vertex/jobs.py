"""All jobs of one kind: accepted, kept, listed, cancelled, resumed, and worked on in the background."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.vertex.documents import Database, Shelf
from gcp_stand_ins.vertex.errors import ApiError, invalid, not_found
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.job import CANCELLING, TERMINAL, Fate, J, Kind, timestamp
from gcp_stand_ins.vertex.listing import fill_page, read_query
from gcp_stand_ins.vertex.order import Creations
from gcp_stand_ins.vertex.training_data import StorageAway, TrainingData, Unreadable, split_uri

log = logging.getLogger("gcp_stand_ins.vertex")


class Jobs(ABC, Generic[J]):
    """All jobs of one kind of this stand-in; what it has acknowledged is on disk.

    Args:
        kind: what sets these jobs apart.
        database: where jobs are kept.
        data: where jobs read, and write.
        switch: the fault settings, fixed into each job when it is created.
        listed_after_seconds: so long after its creation, a job is in no listing, unless a fault says how long.
    """

    def __init__(
        self,
        kind: Kind[J],
        *,
        database: Database,
        data: TrainingData,
        switch: FaultSwitch[VertexFaults],
        listed_after_seconds: float,
    ) -> None:
        self._listed_after_seconds = listed_after_seconds
        self._kind = kind
        self._jobs = Shelf(database, kind.shelf, kind.of)
        self._data = data
        self._switch = switch
        self._order = Creations()
        self._tasks: set[asyncio.Task[None]] = set()
        for job in self._oldest_first():
            self._enter(job)
        self._last_created = max((job.created for job in self._jobs), default=0.0)

    @abstractmethod
    def _has_work(self, job: J) -> bool:
        """Return whether a job that has not ended has anything to do in the background."""

    @abstractmethod
    async def _work(self, job: J) -> None:
        """Do what a job does in the background, and keep what came of it."""

    def settle(self) -> float:
        """Do what is due by now, and return what "now" was."""
        return time.time()

    def resume(self) -> None:
        """Go on with the jobs that a former process left unfinished."""
        for job in self._jobs:
            if not self._has_ended(job, time.time()):
                self._start(job)

    def get(self, name: str) -> dict[str, Any]:
        """Return the job as it is now.

        Raises:
            ApiError: there is none of that name.
        """
        now = self.settle()
        return self._kind.view(self._find(name), now)

    def list_jobs(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the jobs, newest first.

        Raises:
            ApiError: the query makes no sense, or a filter is to be refused.
        """
        if self._switch.current.refuse_filters and query.get("filter"):
            raise invalid(f"Invalid list filter: {query['filter']}")
        now = self.settle()
        given = self._switch.current.listed_after_seconds
        shown_until = now - (self._listed_after_seconds if given is None else given)
        kind, asked = self._kind, read_query(query, fields=self._kind.filters)

        def matching() -> Iterator[tuple[str, dict[str, Any]]]:
            for key, name in self._order.newest_first(parent, after=asked.after, label=asked.filter.label):
                job = self._jobs.get(name)
                if (
                    job is not None
                    and job.created <= shown_until
                    and asked.filter.matches(_Filtered(job, now, kind.state))
                ):
                    yield key, kind.view(job, now)

        return fill_page(matching(), field=kind.of.collection, size=asked.size)

    def cancel(self, name: str) -> None:
        """Ask a job to end; it is cancelling for a moment, and then cancelled.

        Raises:
            ApiError: there is none of that name, or it has ended.
        """
        now = self.settle()
        job = self._find(name)
        state = self._kind.state(job, now)
        if state in TERMINAL:
            message = f"The {self._kind.spoken} {name} has ended: {state}. It cannot be cancelled."
            raise ApiError("FAILED_PRECONDITION", message)
        if state != CANCELLING:
            self._keep(replace(job, cancelled=now))

    def resume_paused(self, name: str | None = None) -> list[str]:
        """Let paused jobs go on, all or the one of that name, and those that are still to pause never pause.

        Returns their names.
        """
        now, resumed = time.time(), []
        for job in self._jobs:
            waits = job.fate.outcome == "paused" and job.resumed is None and job.cancelled is None
            if waits and name in (None, job.name) and not self._has_ended(job, now):
                self._keep(replace(job, resumed=now))
                resumed.append(job.name)
        return resumed

    def overview(self) -> list[dict[str, object]]:
        """Return all jobs of all projects in order of creation, for tests."""
        now = self.settle()
        return [
            {
                "name": job.name,
                "state": self._kind.state(job, now),
                "displayName": job.request.get(self._kind.title, ""),
                "labels": job.labels,
                "createTime": timestamp(job.created),
                "vanished": job.fate.vanishes,
            }
            for job in self._oldest_first()
        ]

    async def stop(self) -> None:
        """End the background work; a later process resumes it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _check_readable(self, uri: object, field: str) -> None:
        """Raise unless the object is there; where Cloud Storage is away, nobody knows and nothing is raised."""
        try:
            await self._data.check_lately(*split_uri(uri, field=field))
        except Unreadable as error:
            raise invalid(f"{field}: {error}") from None
        except StorageAway as error:
            # As at Google, where a job is accepted before its data is read; the job itself goes on asking.
            log.warning("could not check %s at creation: %s", field, error)

    def _now_created(self) -> float:
        """Return the moment of creation of a new job: strictly increasing, so that "newest first" has one answer."""
        self._last_created = max(time.time(), self._last_created + 1e-6)
        return self._last_created

    def _accept(self, job: J) -> dict[str, Any]:
        """Keep a new job, begin its work, and return it as it is shown."""
        self._keep(job)
        self._enter(job)
        self._start(job)
        return self._kind.view(job, job.created)

    def _oldest_first(self) -> list[J]:
        return sorted(self._jobs, key=lambda job: job.created)

    def _find(self, name: str) -> J:
        job = self._jobs.get(name)
        if job is None or job.fate.vanishes:
            raise not_found(f"The {self._kind.of.resource} {name} is not found.")
        return job

    def _has_ended(self, job: J, now: float) -> bool:
        return self._kind.state(job, now) in TERMINAL

    def _keep(self, job: J) -> None:
        self._jobs.put(job.name, job)

    def _enter(self, job: J) -> None:
        """Let lists show a job, unless it vanishes."""
        if not job.fate.vanishes:
            self._order.add(job.parent, job.name, job.created, job.labels)

    def _start(self, job: J) -> None:
        if self._has_work(job):
            task = asyncio.get_running_loop().create_task(self._work(job), name=job.name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class _Filtered(Generic[J]):
    """A job as a filter asks for it: quicker to make than a view."""

    job: J
    now: float
    state: Callable[[J, float], str]

    def get(self, name: str, default: Any, /) -> Any:
        """Return the value of a field of the job's JSON."""
        return self.state(self.job, self.now) if name == "state" else self.job.request.get(name, default)


def fate_of(faults: VertexFaults) -> Fate:
    """Return the fate of a job that is created under these settings."""
    return Fate(
        seconds=faults.job_seconds,
        outcome=faults.job_outcome,
        vanishes=faults.job_vanishes,
        hangs=faults.job_hangs,
        error_code=faults.job_error_code,
        error_message=faults.job_error_message,
    )


def new_id() -> str:
    """Return a number for a new resource, 18 digits as Vertex AI gives them."""
    return str(random.randrange(10**17, 10**18))  # noqa: S311 - not a secret


async def sleep_until(moment: float) -> None:
    """Return at that moment, or at once where it has passed."""
    await asyncio.sleep(max(0.0, moment - time.time()))
