"""Tell a component that comes up slowly from one that does not come up. Pure: it is told the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signs:
    """What can be seen of a component that is on its way; any change of it is progress."""

    note: str | None
    """What it still lacks, as the last look at it found."""
    log_bytes: int
    cpu_seconds: float
    """Used by all its processes: on a machine that is far too busy, often the only sign for minutes."""


class StallTimer:
    """Counts for how long the signs of one component have not changed.

    Args:
        now: monotonic time in seconds, of its start.
    """

    def __init__(self, *, now: float) -> None:
        self._signs: Signs | None = None
        self._since = now

    def stalled_seconds(self, signs: Signs, *, now: float) -> float:
        """Return for how long nothing has moved, given the signs of this moment."""
        if signs != self._signs:
            self._signs, self._since = signs, now
        return now - self._since
