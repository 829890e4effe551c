from __future__ import annotations

import asyncio
import time

import pytest
from asyncio_throttle import Throttler

from genops_events.gemini.pace import QUOTA_SHARE, Pace


async def moments(pace: Pace, calls: int, *, tokens: int = 0) -> list[float]:
    """Return when each of so many calls was let begin."""
    found = []
    for _ in range(calls):
        await pace.begin(tokens)
        found.append(time.monotonic())
    return found


@pytest.mark.parametrize("per_minute", [60, 600, 6000, 60_000])
async def test_no_stretch_of_time_holds_more_calls_than_its_share_of_the_quota(per_minute: int) -> None:
    a_second = per_minute / 60 * QUOTA_SHARE
    calls = max(3, round(a_second))
    found = await moments(Pace(requests_per_minute=per_minute), calls)
    burst = max(1, int(per_minute * QUOTA_SHARE / 120))
    for first in range(0, calls, max(1, calls // 20)):
        for last in range(first, calls, max(1, calls // 20)):
            # Begun within a period, as many as one period allows; then as fast as the quota.
            assert last - first <= burst + (found[last] - found[first]) * a_second + 1e-6


async def test_calls_of_several_tasks_share_one_quota() -> None:
    pace = Pace(requests_per_minute=6000)
    begun = time.monotonic()
    await asyncio.gather(*(moments(pace, 20) for _ in range(6)))
    assert time.monotonic() - begun >= 0.9, "120 calls are three strides, half a second apart"


async def test_tokens_are_drawn_on_average_and_put_right_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[None] = []
    acquire = Throttler.acquire

    async def counted(throttler: Throttler) -> None:
        drawn.append(None)
        await acquire(throttler)

    monkeypatch.setattr(Throttler, "acquire", counted)
    pace = Pace(requests_per_minute=None, tokens_per_minute=20_000)  # 333 a second, in units of 20
    begun = time.monotonic()
    await moments(pace, 100, tokens=7)
    assert time.monotonic() - begun >= 1.2
    for _ in range(100):
        pace.used(1, estimated=7)
    assert len(drawn) == 35
    await moments(pace, 80, tokens=7)
    assert len(drawn) == 35, "600 tokens were given back, 560 are used"
    await moments(pace, 10, tokens=7)
    assert len(drawn) == 36


async def test_a_pause_that_the_service_asked_for_holds_everybody_back() -> None:
    pace = Pace(requests_per_minute=None)
    begun = time.monotonic()
    pace.hold_back(0.2)
    pace.hold_back(0.1)
    await asyncio.gather(*(pace.begin(0) for _ in range(3)))
    assert time.monotonic() - begun >= 0.2
