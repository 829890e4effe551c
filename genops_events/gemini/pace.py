"""Throttle calls to the quotas of requests and of tokens per minute, evenly spread."""

from __future__ import annotations

import asyncio
import time
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from asyncio_throttle import Throttler

from genops_events.gemini.quota_shares import QUOTA_SHARE
from genops_events.gemini.shared_quota import SharedQuota

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.config.quotas import Quota

_TOKEN_UNITS = 1000
"""Tokens are drawn in thousandths of a minute's quota, where it is not shared."""


class _PermitSource(Protocol):
    """A source of permits."""

    async def take(self, count: int = 1) -> None:
        """Return when `count` more permits may be used."""


class Pace:
    """Lets calls begin, one after the other, as fast as the quotas allow. Waiting may poll, so few tasks should wait at a time.

    A minute's quota is spread over the minute. Vertex AI counts over any 60 seconds, so a burst at the end of one minute
    would exceed the quota of the next.

    Args:
        requests_per_minute: quota of calls of this process alone; None for no bound.
        tokens_per_minute: quota of input and output tokens; None for no bound.
        shared: in place of both: the share in a quota that all processes use together; `async with pace` takes part in it.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        shared: SharedQuota | None = None,
    ) -> None:
        self._shared = shared
        self.requests_per_minute = requests_per_minute if shared is None else shared.quota.requests_per_minute
        """The whole quota, of all processes that share it; None for no bound."""
        self._requests: _PermitSource | None = None
        self._tokens: _PermitSource | None = None
        if shared is not None:
            self._requests, self._tokens = shared.requests, shared.tokens
        elif requests_per_minute is not None:
            self._requests = _OwnQuota(requests_per_minute, unit=1.0)
        if shared is None and tokens_per_minute is not None:
            self._tokens = _OwnQuota(tokens_per_minute, unit=max(1.0, tokens_per_minute / _TOKEN_UNITS))
        self._owed = 0.0
        """Tokens of calls that have begun and for which no permits were taken yet; below 0 where estimates were too high."""
        self._not_before = 0.0

    @classmethod
    def of(cls, bucket: Bucket, quota: Quota) -> Self:
        """Return the pace of one process among all that share a quota through the bucket of the record."""
        return cls(shared=SharedQuota(bucket, quota))

    async def __aenter__(self) -> Self:
        if self._shared is not None:
            await self._shared.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shared is not None:
            await self._shared.__aexit__(kind, error, trace)

    async def begin(self, tokens: int, *, calls: int = 1) -> None:
        """Return when the next call may begin.

        Args:
            tokens: estimated tokens of the call; `used` corrects the estimate afterwards.
            calls: number of calls that it counts as.

        Raises:
            CloudUnavailable: the quota is shared, and the bucket has been away for minutes.
            CloudRefused: the quota is shared, and the bucket refuses the objects that sharing needs.
        """
        while (wait := self._not_before - time.monotonic()) > 0:  # noqa: ASYNC110 - a moment that may be put off
            await asyncio.sleep(wait)
        if self._tokens is not None:
            self._owed += tokens
            if (owed := int(self._owed)) > 0:
                self._owed -= owed
                await self._tokens.take(owed)
        if self._requests is not None:
            await self._requests.take(calls)

    def used(self, tokens: int, *, estimated: int) -> None:
        """Correct the estimate of a call by the tokens that it used."""
        self._owed += tokens - estimated

    def hold_back(self, seconds: float) -> None:
        """Let no call begin for so many seconds: the service has asked for that."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)


class _OwnQuota:
    """A quota that no other process uses: a minute's permits, spread over periods of half a second, or of one permit each.

    Shorter periods would lose more to polling; longer ones would come as bursts, and a late burst may meet the next one.

    Args:
        per_minute: permits per minute.
        unit: permits that are taken at once.
    """

    def __init__(self, per_minute: int, *, unit: float) -> None:
        allowed = ceil(per_minute / unit) * QUOTA_SHARE
        at_once = max(1, int(allowed / 120))
        self._throttler = Throttler(rate_limit=at_once, period=60.0 * at_once / allowed, retry_interval=0.004)
        self._unit = unit
        self._owed = 0.0

    async def take(self, count: int = 1) -> None:
        """Return when `count` more permits may be used."""
        self._owed += count
        while self._owed >= self._unit:
            await self._throttler.acquire()
            self._owed -= self._unit
