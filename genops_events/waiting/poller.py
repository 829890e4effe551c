"""One poller for all jobs of a kind, project and region that this triggerer waits for."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from asyncio_throttle import Throttler

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudUnavailable
from genops_events.waiting.polling import (
    ABSENT,
    TOGETHER,
    UNSEEN,
    Ended,
    Round,
    Wait,
    key_of,
    on_state,
    seconds_after_failures,
    with_jitter,
)

if TYPE_CHECKING:
    from genops_events.waiting.jobs import JobView
    from genops_events.waiting.views import JobKind, JobViews

log = logging.getLogger(__name__)

CALLS_A_SECOND = 5
"""Half of the 600 calls a minute that Vertex AI grants a project and region; the other half is for submissions and evaluations."""

FIRST_LOOK_SECONDS = 10.0
"""Most seconds until the first look at a job; `poll_seconds`, where these are less."""


@dataclass(eq=False, slots=True)
class _Waiter:
    wait: Wait
    due: float
    """Time of the next look, by the monotonic clock."""
    earliest: float
    """Time before which the end of the job is not reported: a task must not come back too soon (docs/adr/0005)."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    latest: JobView | Ended | None = None

    def report(self, news: JobView | Ended) -> None:
        self.latest = news
        self.news.set()


class JobPoller:
    """Polls every job that is waited for; a page of the listing shows a hundred of them.

    It runs while there are waits, and ends with the last one. Get it by `of`: all waits of a kind, project and region share one.

    Args:
        kind: tuning jobs, or batch prediction jobs.
        project: project id.
        location: region.
    """

    _shared: ClassVar[dict[tuple[object, ...], JobPoller]] = {}

    def __init__(self, kind: JobKind, project: str, location: str) -> None:
        self._kind = kind
        self._project = project
        self._location = location
        self._waiters: set[_Waiter] = set()
        self._by_key: defaultdict[str, set[_Waiter]] = defaultdict(set)
        self._throttler = Throttler(rate_limit=CALLS_A_SECOND, period=1.0, retry_interval=0.05)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._next = 0.0
        """Time at which the poller wakes by itself, by the monotonic clock."""

    @classmethod
    def of(cls, kind: JobKind, *, project: str, location: str) -> JobPoller:
        """Return the poller that this event loop has for the jobs of one kind, project and region."""
        key = (asyncio.get_running_loop(), kind, project, location)
        return cls._shared.setdefault(key, cls(kind, project, location))

    async def watch(self, wait: Wait) -> AsyncGenerator[JobView | Ended, None]:
        """Yield the state of the job after each look, only the latest one, and at last how it ended.

        Args:
            wait: the job, its deadline and its interval. Ending the wait has no effect on the job.
        """
        first = time.monotonic() + min(wait.poll_seconds, FIRST_LOOK_SECONDS)
        waiter = _Waiter(wait, due=first, earliest=first)
        self._waiters.add(waiter)
        self._by_key[wait.key].add(waiter)
        if waiter.due < self._next:
            self._changed.set()
        if self._task is None or self._task.done():
            # In a context of its own: its log lines do not belong to the task that happened to wait first.
            self._task = asyncio.create_task(
                self._run(), name=f"poller of {self._kind} jobs", context=contextvars.Context()
            )
        try:
            while not isinstance(waiter.latest, Ended):
                await waiter.news.wait()
                waiter.news.clear()
                assert waiter.latest is not None
                yield waiter.latest
        finally:
            self._waiters.discard(waiter)
            self._by_key[wait.key].discard(waiter)
            if not self._by_key[wait.key]:
                del self._by_key[wait.key]
            if not self._waiters:
                self._changed.set()

    async def _run(self) -> None:
        from genops_events.waiting.views import JobViews

        views: JobViews | None = None
        try:
            while self._waiters:
                try:
                    if views is None:
                        views = await asyncio.to_thread(
                            JobViews, self._kind, project=self._project, location=self._location
                        )
                    await self._pause()
                    await self._look(views)
                    self._failures = 0
                except Exception as error:  # noqa: BLE001 - jobs that cannot be seen keep running, and are billed
                    await self._back_off(error)
        finally:
            self._shared.pop((asyncio.get_running_loop(), self._kind, self._project, self._location), None)
            if views is not None:
                views.close()

    async def _pause(self) -> None:
        """Return when a job is due, or when there are no waits any more."""
        while self._waiters:
            self._next = min(one.due for one in self._waiters)
            if self._next <= time.monotonic():
                return
            await self._sleep_until(self._next)

    async def _sleep_until(self, moment: float) -> None:
        """Sleep until `moment` of the monotonic clock, or until a new wait is due earlier, or there are no waits any more."""
        self._next = moment
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._changed.wait()

    async def _look(self, views: JobViews) -> None:
        # One start and one jitter for all: jobs of the same round stay together, and the next time take one round again.
        began, jitter = time.monotonic(), random.random()  # noqa: S311 - not a secret
        due = {one for one in self._waiters if one.due - began <= TOGETHER * one.wait.poll_seconds}
        round_ = Round(one.wait for one in due)
        first = True
        while round_.wants_page:
            async with self._throttler:
                page = await asyncio.to_thread(views.first_page if first else views.next_page)
            first = False
            round_.take(page.jobs, more=page.more)
            self._report({key_of(view.name): view for view in page.jobs}, began=began, jitter=jitter)
        for wait in round_.one_by_one:
            async with self._throttler:
                try:
                    view = await asyncio.to_thread(views.one, wait.job)
                except CloudUnavailable:
                    raise  # the next jobs would get no answer either
                except Exception as error:  # noqa: BLE001 - one job that cannot be looked at must not hide the others
                    log.warning("%s The job keeps running, and is looked at again.", error)
                    self._report({wait.key: UNSEEN}, began=began, jitter=jitter)
                    continue
            self._report({wait.key: ABSENT if view is None else view}, began=began, jitter=jitter)

    def _report(self, seen: Mapping[str, JobView | str], *, began: float, jitter: float) -> None:
        """Report the jobs that were seen to all their waits, due or not.

        Args:
            seen: state by key; `ABSENT` or `UNSEEN` where there is none.
            began: when the round began, by the monotonic clock.
            jitter: of the round, 0 to 1.
        """
        now = datetime.now(UTC)
        for key, found in seen.items():
            for one in self._by_key.get(key, ()):
                self._answer(one, found, now=now, began=began, jitter=jitter)

    def _answer(self, one: _Waiter, found: JobView | str, *, now: datetime, began: float, jitter: float = 0.0) -> None:
        if isinstance(one.latest, Ended):
            return
        decision = on_state(one.wait, found if isinstance(found, str) else found.state, now=now)
        if isinstance(decision, Ended):
            if time.monotonic() < one.earliest:
                return  # seen in the round of another wait, before this one's own first look
            one.report(decision)
            one.due = float("inf")
            return
        if not isinstance(found, str):
            one.report(found)
        one.wait = replace(one.wait, absences=decision.absences)
        # A pause that ends at the deadline gets no jitter: it would be passed.
        if decision.seconds < one.wait.poll_seconds:
            one.due = time.monotonic() + decision.seconds
        else:
            one.due = began + with_jitter(decision.seconds, share=jitter)

    async def _back_off(self, error: Exception) -> None:
        """Pause after a failed look, as long as the service asks for; only waits past their deadline are ended."""
        self._failures += 1
        shortest = min((one.wait.poll_seconds for one in self._waiters), default=1.0)
        asked_for = getattr(error, "retry_after_seconds", None)
        pause = seconds_after_failures(self._failures, poll_seconds=shortest, asked_for=asked_for)
        trace = None if isinstance(error, GenopsError) else error
        log.warning("%s Looking again in %.0f s; the %s jobs go on.", error, pause, self._kind, exc_info=trace)
        until = time.monotonic() + pause
        while self._waiters and (clock := time.monotonic()) < until:
            now = datetime.now(UTC)
            for one in self._waiters:
                if now >= one.wait.deadline:
                    self._answer(one, UNSEEN, now=now, began=clock)
            left = [(one.wait.deadline - now).total_seconds() for one in self._waiters if now < one.wait.deadline]
            await self._sleep_until(min(until, clock + min(left, default=pause)))
