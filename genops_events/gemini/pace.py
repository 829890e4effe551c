"""How fast calls may be made: under the quotas of requests and of tokens a minute, smoothly."""

from __future__ import annotations

import asyncio
import time
from math import ceil

from asyncio_throttle import Throttler

QUOTA_SHARE = 0.985
"""So much of a quota is used: calls that are made evenly arrive unevenly, and one that is refused is made twice."""

_TOKEN_UNITS = 1000
"""Tokens are drawn in thousandths of a minute's quota."""


class Pace:
    """Lets calls begin, one after the other, as fast as the quotas allow. Waiting is polling: let few tasks wait at a time.

    A minute's quota is spread over the minute: Vertex AI counts over 60 seconds from any moment on, and a burst that is
    allowed at the end of one minute would be over the quota in the next.

    Args:
        requests_per_minute: quota of calls; None for no bound.
        tokens_per_minute: quota of tokens, asked and answered; None for no bound.
    """

    def __init__(self, *, requests_per_minute: int | None, tokens_per_minute: int | None = None) -> None:
        self._requests = None if requests_per_minute is None else _throttler(requests_per_minute)
        self._unit = 1.0
        self._tokens: Throttler | None = None
        if tokens_per_minute is not None:
            self._unit = max(1.0, tokens_per_minute / _TOKEN_UNITS)
            self._tokens = _throttler(ceil(tokens_per_minute / self._unit))
        self._drawn = 0.0
        """Tokens that calls were let begin for and no unit was drawn for; below 0 where estimates were too high."""
        self._not_before = 0.0

    async def begin(self, tokens: int) -> None:
        """Return when the next call may begin.

        Args:
            tokens: that it will use, by an estimate; `used` puts it right.
        """
        while (wait := self._not_before - time.monotonic()) > 0:  # noqa: ASYNC110 - a moment that may be put off
            await asyncio.sleep(wait)
        if self._tokens is not None:
            self._drawn += tokens
            while self._drawn >= self._unit:
                await self._tokens.acquire()
                self._drawn -= self._unit
        if self._requests is not None:
            await self._requests.acquire()

    def used(self, tokens: int, *, estimated: int) -> None:
        """Take note of what a call has used in the end."""
        self._drawn += tokens - estimated

    def hold_back(self, seconds: float) -> None:
        """Let no call begin for so long: the service has asked for it."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)


def _throttler(per_minute: int) -> Throttler:
    """Return a throttle that spreads a minute's quota over half seconds, or over longer where that is less than one call.

    Shorter ones would lose more to polling; longer ones would come as bursts, late ones of which may meet the next.
    """
    allowed = per_minute * QUOTA_SHARE
    at_once = max(1, int(allowed / 120))
    return Throttler(rate_limit=at_once, period=60.0 * at_once / allowed, retry_interval=0.004)
