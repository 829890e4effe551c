"""Decide how the long-running Vertex AI jobs of one kind, project and region are polled, by states and time alone. No I/O."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from genops_events.back_off import back_off_seconds
from genops_events.waiting.jobs import JobView


class JobEnd(StrEnum):
    """How a job can end, as far as the cascade distinguishes."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    """google-genai's `has_ended` does not know this one. A tuning job with this end has no usable model; a batch job has answers."""
    VANISHED = "vanished"
    """Vertex AI does not know the job any more."""
    TIMED_OUT = "timed_out"
    """The job is still under way after the dataset's `timeout_hours`."""


ENDS: Mapping[str, JobEnd] = {
    "JOB_STATE_SUCCEEDED": JobEnd.SUCCEEDED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": JobEnd.PARTIALLY_SUCCEEDED,
    "JOB_STATE_FAILED": JobEnd.FAILED,
    "JOB_STATE_CANCELLED": JobEnd.CANCELLED,
    "JOB_STATE_EXPIRED": JobEnd.EXPIRED,
}
"""All final states. In PAUSED, UPDATING and states that are not known yet, the wait continues."""

ABSENT = "absent"
"""State of a job for which the service answers 404."""

UNSEEN = "unseen"
"""State of a job that could not be read: the wait continues, as in any state that is not final."""

ABSENCES_UNTIL_VANISHED = 3
"""Absences in a row after which a job has vanished: one that was just created may be absent for a moment."""

WIDEST = 4.0
"""Longest interval, of an old job, as a multiple of `poll_seconds`."""

WIDENS_EVERY = timedelta(hours=1)
"""A job of this age is looked at half as often as a new one."""

TOGETHER = 0.25
"""Jobs that are due within this share of their interval are looked at now: one call shows a hundred."""

JITTER = 0.1
LONGEST_BACK_OFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Wait:
    """A job that is waited for.

    Args:
        job: resource name, `projects/…/locations/…/tuningJobs/…`.
        began: when the job was submitted, aware, UTC.
        deadline: when to stop waiting, aware, UTC.
        poll_seconds: interval between two looks while the job is young.
        absences: how often in a row the job was absent.
    """

    job: str
    began: datetime
    deadline: datetime
    poll_seconds: float
    absences: int = 0

    @property
    def key(self) -> str:
        """The job's id: a listing has the project's number in the name, where a caller may have the project's id."""
        return key_of(self.job)


@dataclass(frozen=True, slots=True)
class Pause:
    """Look again after so many seconds."""

    seconds: float
    absences: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The wait is over."""

    end: JobEnd


def key_of(job: str) -> str:
    """Return the id of a job, which is unique in its project and region: the last segment of its name."""
    return job.rpartition("/")[2]


def on_state(wait: Wait, state: str, *, now: datetime) -> Pause | Ended:
    """Return what to do about a job that is in `state`.

    Args:
        wait: of the job.
        state: of the API, such as `JOB_STATE_RUNNING`, or `ABSENT`, or `UNSEEN`.
        now: aware, UTC.
    """
    if state in ENDS:
        return Ended(ENDS[state])
    absences = wait.absences + 1 if state == ABSENT else wait.absences if state == UNSEEN else 0
    if absences >= ABSENCES_UNTIL_VANISHED:
        return Ended(JobEnd.VANISHED)
    if now >= wait.deadline:
        return Ended(JobEnd.TIMED_OUT)
    interval = wait.poll_seconds if absences else interval_seconds(wait, now=now)
    # The pause never goes beyond the deadline.
    return Pause(min(interval, (wait.deadline - now).total_seconds()), absences)


def interval_seconds(wait: Wait, *, now: datetime) -> float:
    """Return the seconds between two looks at a job of this age: `poll_seconds`, and up to four times that for an old one."""
    age = max(timedelta(0), now - wait.began)
    return wait.poll_seconds * min(WIDEST, 1.0 + age / WIDENS_EVERY)


def with_jitter(seconds: float, *, share: float | None = None) -> float:
    """Return a pause that is up to a tenth longer, never shorter, so that several triggerers do not call in step.

    Args:
        seconds: the pause.
        share: 0 to 1; random where None.
    """
    drawn = random.random() if share is None else share  # noqa: S311 - not a secret
    return seconds * (1.0 + JITTER * drawn)


def seconds_after_failures(
    failures: int, *, poll_seconds: float, drawn: float | None = None, asked_for: float | None = None
) -> float:
    """Return the seconds to pause after `failures` failed looks in a row: between half and all of a bound that doubles.

    Args:
        failures: 1 after the first.
        poll_seconds: the pause without failures.
        drawn: 0 to 1; random where None.
        asked_for: seconds that the service asked for; the pause is at least as long.
    """
    longest = max(LONGEST_BACK_OFF_SECONDS, poll_seconds)
    return max(back_off_seconds(failures, first=2 * poll_seconds, longest=longest, drawn=drawn), asked_for or 0.0)


class Round:
    """One look at all jobs that are due, with as few calls as possible: pages of the listing, then single jobs.

    Ask for a page while `wants_page`, and hand it to `take`; then ask for each of `one_by_one`. At worst, where the
    listing is full of other jobs, this takes two calls for each job.

    Args:
        due: waits whose jobs are looked at.
    """

    def __init__(self, due: Iterable[Wait]) -> None:
        self._missing = {wait.key: wait for wait in due}
        self._most_calls = 2 * len(self._missing)
        self._pages = 0
        self._more = True
        self._oldest: datetime | None = None

    @property
    def wants_page(self) -> bool:
        """Return whether another page of the listing, newest first, is the cheapest next call."""
        if not self._more or not self._missing or self._pages + len(self._missing) >= self._most_calls:
            return False
        return self._oldest is None or any(wait.began <= self._oldest + _CLOCK_SKEW for wait in self._missing.values())

    @property
    def one_by_one(self) -> tuple[Wait, ...]:
        """Return the jobs that the listing does not show."""
        return tuple(self._missing.values())

    def take(self, page: Sequence[JobView], *, more: bool) -> None:
        """Take one page of the listing.

        Args:
            page: jobs, newest first.
            more: whether there are further pages.
        """
        for view in page:
            self._missing.pop(key_of(view.name), None)
        self._pages += 1
        self._more = more
        created = [view.created_at for view in page if view.created_at is not None]
        self._oldest = min(created, default=self._oldest)


_CLOCK_SKEW = timedelta(minutes=5)
"""Greatest difference between this machine's clock and Vertex AI's, for whether a job can be on a page of this age."""
