"""Permits of a shared quota as they fall due in this process, and the clock that says when. No I/O but waiting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from genops_events.gemini.quota_shares import Slot

LATE_SECONDS = 0.5
"""A permit that is not used so long after its moment lapses: used later, it would meet those of the next."""


class Permits:
    """Permits that fall due one after the other; whoever takes one waits for its moment."""

    def __init__(self) -> None:
        self._due: deque[list[float]] = deque()
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._error: Exception | None = None
        self.used = 0
        """Since it was last set to 0."""
        self.waiting = 0
        """Tasks that wait in `take`."""

    async def take(self, count: int = 1) -> None:
        """Return when so many permits have fallen due; they are used then.

        Raises:
            CloudUnavailable: the store has been away for `AWAY_SECONDS`.
            CloudRefused: the store refuses what sharing needs.
        """
        self.waiting += 1
        try:
            async with self._turn:  # in the order in which they came
                while count > 0:
                    count -= await self._take_some(count)
        finally:
            self.waiting -= 1

    async def _take_some(self, most: int) -> int:
        if self._error is not None:
            raise self._error
        now = time.monotonic()
        while self._due and self._due[0][0] < now - LATE_SECONDS:
            self._due.popleft()
        self._changed.clear()
        if self._due and self._due[0][0] <= now:
            taken = min(most, int(self._due[0][1]))
            self._due[0][1] -= taken
            if not self._due[0][1]:
                self._due.popleft()
            self.used += taken
            return taken
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._due[0][0] - now) if self._due else None):
                await self._changed.wait()
        return 0

    def add(self, begins: float, given: Iterable[Slot]) -> None:
        """Take what was given in a block, whose beginning is told by the monotonic clock.

        What has passed by then is left: made up for at once, it would be a burst on top of the quota.
        """
        now = time.monotonic()
        due = ([begins + slot.seconds, slot.permits] for slot in given)
        self._due.extend([moment, permits] for moment, permits in due if moment >= now)
        self._changed.set()

    def fail(self, error: Exception | None) -> None:
        """Let whoever takes a permit fail, from now on; None lets them wait again."""
        self._error = error
        self._changed.set()


@dataclass(frozen=True, slots=True)
class StoreClock:
    """What the store's clock shows, by an answer that told it: between two readings of the monotonic clock."""

    told: float
    asked_at: float
    answered_at: float

    @property
    def width(self) -> float:
        """Seconds that the answer took."""
        return self.answered_at - self.asked_at

    def goes_before(self, other: StoreClock) -> bool:
        """Whether this later answer tells the clock better than an earlier one does: more closely, or otherwise.

        A monotonic clock may be off by a thousandth after a while, and stands still while a machine is suspended.
        """
        at = self.answered_at
        closer = self.width <= other.width + (at - other.answered_at) / 1000
        return closer or self.latest(at) < other.earliest(at) or self.earliest(at) > other.latest(at)

    def earliest(self, at: float) -> float:
        """Return what it shows at least at a moment of the monotonic clock."""
        return self.told + at - self.answered_at

    def latest(self, at: float) -> float:
        """Return what it shows at most."""
        return self.told + at - self.asked_at

    def monotonic(self, shown: float) -> float:
        """Return when it shows this, by the monotonic clock; wrong by half of the call's time at most."""
        return shown - self.told + (self.asked_at + self.answered_at) / 2
