"""Which keys are due when, with cheap setting, cancelling and firing."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_PER_SECOND = 20
"""Buckets of 50 ms: leases are set and cancelled tens of thousands of times a second and seldom fire."""


class Deadlines(Generic[Key]):
    """The moments at which keys are due, rounded up to 50 ms; memory is bounded by the keys that are set."""

    def __init__(self) -> None:
        self._bucket_of: dict[Key, int] = {}
        self._buckets: dict[int, set[Key]] = {}
        self._order: list[int] = []

    def set(self, key: Key, due: float) -> None:
        """Make `key` due at `due` (seconds, any clock), in place of what was set before."""
        self.cancel(key)
        number = math.ceil(due * _PER_SECOND)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heapq.heappush(self._order, number)
        bucket.add(key)
        self._bucket_of[key] = number

    def cancel(self, key: Key) -> None:
        """Forget `key`; fine if it is not set."""
        number = self._bucket_of.pop(key, None)
        if number is not None:
            self._buckets[number].discard(key)

    def fire(self, now: float) -> list[Key]:
        """Return and forget the keys that are due, earliest bucket first."""
        due: list[Key] = []
        while self._order and self._order[0] <= now * _PER_SECOND:
            for key in self._buckets.pop(heapq.heappop(self._order)):
                del self._bucket_of[key]
                due.append(key)
        return due

    def next_due(self) -> float | None:
        """Return when `fire` will find something, or None."""
        while self._order and not self._buckets[self._order[0]]:
            del self._buckets[heapq.heappop(self._order)]
        return self._order[0] / _PER_SECOND if self._order else None
