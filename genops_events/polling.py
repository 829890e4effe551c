"""Decide what to do about a long-running Vertex AI job, from its state and the time alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobEnd(StrEnum):
    """How a job can end, as far as the cascade cares."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    VANISHED = "vanished"
    """Vertex AI does not know the job any more."""
    TIMED_OUT = "timed_out"
    """The job is still under way after the dataset's `timeout_hours`."""


ENDS = {
    "JOB_STATE_SUCCEEDED": JobEnd.SUCCEEDED,
    # google-genai's `has_ended` leaves this one out; a partial model is not what was paid for.
    "JOB_STATE_PARTIALLY_SUCCEEDED": JobEnd.FAILED,
    "JOB_STATE_FAILED": JobEnd.FAILED,
    "JOB_STATE_CANCELLED": JobEnd.CANCELLED,
    "JOB_STATE_EXPIRED": JobEnd.EXPIRED,
}
"""Every state that a job cannot leave. PAUSED, UPDATING and states that are yet to be invented are waited out."""

ABSENT = "absent"
"""The state of a job that the service answers 404 for."""

UNSEEN = "unseen"
"""The state of a job that could not be looked at: waited out like any state that is no end."""

ABSENCES_UNTIL_VANISHED = 3
"""A job just created may not be found for a moment; one that is gone is absent again and again."""

LONGEST_BACK_OFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after this long."""

    seconds: float
    absences: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The wait is over."""

    end: JobEnd


def on_state(state: str, *, now: datetime, deadline: datetime, poll_seconds: float, absences: int) -> Wait | Ended:
    """Return what to do about a job that is in `state`.

    Args:
        state: as the API names it, such as `JOB_STATE_RUNNING`, or `ABSENT`.
        now: aware, UTC.
        deadline: when to stop waiting, aware, UTC.
        poll_seconds: pause between two looks.
        absences: how often in a row the job was absent before.
    """
    if state == ABSENT:
        if absences + 1 >= ABSENCES_UNTIL_VANISHED:
            return Ended(JobEnd.VANISHED)
        return Wait(poll_seconds, absences + 1)
    if state in ENDS:
        return Ended(ENDS[state])
    if now >= deadline:
        return Ended(JobEnd.TIMED_OUT)
    return Wait(poll_seconds)


def back_off_seconds(failures: int, *, poll_seconds: float, jitter: float | None = None) -> float:
    """Return the pause after `failures` failed looks in a row: doubling, bounded, with jitter.

    Args:
        failures: 1 after the first.
        poll_seconds: the pause of a healthy poll.
        jitter: 0 to 1; drawn where None. The pause is between half and all of its bound.
    """
    bound = min(poll_seconds * 2.0 ** min(failures, 16), max(LONGEST_BACK_OFF_SECONDS, poll_seconds))
    share = random.random() if jitter is None else jitter  # noqa: S311 - not a secret
    return bound * (0.5 + share / 2)
