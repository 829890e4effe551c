"""Permits of a shared quota as they fall due in this process, and the store's clock that times them. No I/O but waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush

from genops_events.gemini.quota_shares import PIECE_SECONDS, Slot, next_demand

LATE_SECONDS = 0.5
"""Seconds after which an unused permit lapses: used later, it would add to those of the next block."""


class Permits:
    """Permits that fall due one after the other; `take` waits until they do.

    Args:
        on_short: called when a call begins to wait; must not block.
    """

    def __init__(self, on_short: Callable[[], None] = lambda: None) -> None:
        self._on_short = on_short
        self._due: list[list[float]] = []
        """A heap: when so many permits fall due, by the monotonic clock, and how many."""
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._error: Exception | None = None
        self.used = 0
        """Permits used since this was last set to 0."""
        self.waiting = 0
        """Tasks that wait in `take`."""

    async def take(self, count: int = 1) -> None:
        """Return when `count` permits have fallen due, and use them.

        Raises:
            CloudUnavailable: the store has been away for `AWAY_SECONDS`.
            CloudRefused: the store refuses the objects that sharing needs.
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
        self._forget_lapsed(now)
        self._changed.clear()
        if self._due and self._due[0][0] <= now:
            taken = min(most, int(self._due[0][1]))
            self._due[0][1] -= taken
            if not self._due[0][1]:
                heappop(self._due)
            self.used += taken
            return taken
        self._on_short()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._due[0][0] - now) if self._due else None):
                await self._changed.wait()
        return 0

    def _forget_lapsed(self, now: float) -> None:
        while self._due and self._due[0][0] < now - LATE_SECONDS:
            heappop(self._due)

    def next_demand(self, per_minute: int, *, waiting: bool) -> int:
        """Return how many permits this process may need in the next block, of a quota of so many per minute.

        Args:
            per_minute: the quota.
            waiting: whether a call waits, for a permit of this kind or of another.
        """
        if waiting:
            self._forget_lapsed(time.monotonic())
        ahead = sum(int(permits) for _, permits in self._due) if waiting else 0
        return next_demand(had=self.used + ahead, waiting=waiting, per_minute=per_minute)

    @property
    def is_short(self) -> bool:
        """Whether a call waits and no permit has fallen due."""
        return self.waiting > 0 and not (self._due and self._due[0][0] <= time.monotonic())

    def add(self, begins: float, given: Iterable[Slot]) -> None:
        """Add the permits of a block that begins at a moment of the monotonic clock.

        Permits whose moment has passed are dropped: used all at once, they would be a burst on top of the quota.
        """
        now = time.monotonic()
        self._put((begins + slot.seconds, slot.permits) for slot in given if begins + slot.seconds >= now)

    def add_piece(self, begins: float, permits: int) -> None:
        """Add permits that may be used at any moment of the `PIECE_SECONDS` from `begins` on, by the monotonic clock; drop them after that."""
        now = time.monotonic()
        if now < begins + PIECE_SECONDS:
            self._put([(max(begins, now), permits)])

    def _put(self, due: Iterable[tuple[float, int]]) -> None:
        for moment, permits in due:
            heappush(self._due, [moment, permits])
        self._changed.set()

    def fail(self, error: Exception | None) -> None:
        """Let `take` raise this error from now on; None lets it wait again."""
        self._error = error
        self._changed.set()


@dataclass(frozen=True, slots=True)
class StoreClock:
    """The store's clock, read from an answer that came between two readings of the monotonic clock."""

    reading: float
    """Time by the store's clock, in seconds since 1970."""
    asked_at: float
    """When the call began, by the monotonic clock."""
    answered_at: float
    """When the answer was there, by the monotonic clock."""

    @property
    def width(self) -> float:
        """Seconds that the answer took."""
        return self.answered_at - self.asked_at

    def replaces(self, other: StoreClock) -> bool:
        """Whether this later reading replaces an earlier one: it is more precise, or the two contradict each other.

        A monotonic clock may drift by a thousandth, and stops while a machine is suspended.
        """
        at = self.answered_at
        closer = self.width <= other.width + (at - other.answered_at) / 1000
        return closer or self.latest(at) < other.earliest(at) or self.earliest(at) > other.latest(at)

    def earliest(self, at: float) -> float:
        """Return the least that the store's clock can show at a moment of the monotonic clock."""
        return self.reading + at - self.answered_at

    def latest(self, at: float) -> float:
        """Return the most that the store's clock can show at a moment of the monotonic clock."""
        return self.reading + at - self.asked_at

    def monotonic(self, shown: float) -> float:
        """Return when the store's clock shows `shown`, by the monotonic clock; wrong by half of the call's time at most."""
        return shown - self.reading + (self.asked_at + self.answered_at) / 2
