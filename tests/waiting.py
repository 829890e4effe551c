"""How tests wait: for the event itself, and so long that only a hang fails them.

A busy machine may need ten times as long as a quiet one. So no test says how long something may take: it waits until it
is so. `tests/unit/repository/test_no_test_goes_by_the_clock.py` sees to that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

HANG_SECONDS = float(os.environ.get("GENOPS_TEST_HANG_SECONDS", "600"))
"""For every wait and every time-out of a test: whatever takes so long hangs. Lower it to find what hangs."""

QUIET_SECONDS = 1.0
"""How long nothing comes before a test takes it that nothing will. A busy machine can hide a fault here, but make none up."""

FOREVER_SECONDS = 3600.0
"""A stand-in's delay that no test waits out: it ends when the test lets go, or with the client."""

PAUSE_SECONDS = 0.02


class Patience:
    """The patience of one wait: it ends when what is waited for hangs."""

    def __init__(self) -> None:
        self._until = time.monotonic() + HANG_SECONDS

    def spend(self, what: str) -> None:
        """Fail with `what` is waited for, in words, if it hangs."""
        if time.monotonic() > self._until:
            raise AssertionError(f"It hangs, not in {HANG_SECONDS:g} s: {what}")


def until(read: Callable[[], T], holds: Callable[[T], object] = bool, *, what: str = "the condition") -> T:
    """Return the first value of `read` that `holds`; fail with `what` if it hangs.

    Args:
        read: looks once.
        holds: tells whether this is what was waited for; that it is true, if not given.
        what: is waited for, in words.
    """
    patience = Patience()
    while not holds(value := read()):
        patience.spend(f"{what}. The last look gave {value!r}.")
        time.sleep(PAUSE_SECONDS)
    return value


async def until_async(read: Callable[[], T], *, what: str = "the condition") -> T:
    """Return the first true value of `read`, while other tasks of this event loop go on; fail with `what` if it hangs."""
    patience = Patience()
    while not (value := read()):
        patience.spend(f"{what}. The last look gave {value!r}.")
        await asyncio.sleep(PAUSE_SECONDS)
    return value


@contextmanager
def without_hanging() -> Iterator[None]:
    """Fail if what is done within hangs: for work that is done here, where nobody else can wait for it."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"It hangs: not done in {HANG_SECONDS:g} s.")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
