"""The limits on changes of one object name, and of one bucket: Cloud Storage takes one a second of each.

https://cloud.google.com/storage/quotas, read 2026-12-01.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from gcp_stand_ins.storage.wire import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from gcp_stand_ins.faults import FaultSwitch
    from gcp_stand_ins.storage.faults import StorageFaults

_MOST_REMEMBERED = 100_000
"""Names whose last change is remembered; it is forgotten once it is longer ago than any limit.

So many are counted, too: those that were changed least are forgotten first."""


class Pace:
    """Refuses changes of an object name, and of a bucket, that come too soon after the last one.

    Args:
        faults: the settings, which may say how soon.
        seconds: how soon otherwise; 0 for no limit.
    """

    def __init__(self, faults: FaultSwitch[StorageFaults], seconds: float) -> None:
        self._faults, self._seconds = faults, seconds
        self._last: dict[tuple[str, str], float] = {}
        self._made: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    @property
    def _apart(self) -> float:
        given = self._faults.current.object_write_seconds
        return self._seconds if given is None else given

    def check_bucket(self, bucket: str) -> None:
        """Let an update of a bucket's metadata pass, or stop it; `bucket_made` tells once it is applied.

        Raises:
            ApiError: 429; the words are as those of an object, since no report of the real ones was found.
        """
        apart = self._faults.current.bucket_update_seconds
        if apart and time.monotonic() - self._last.get((bucket, ""), -apart) < apart:
            raise ApiError(
                429,
                f"The bucket {bucket} exceeded the rate limit for bucket metadata updates. Please reduce your request rate. "
                "See https://cloud.google.com/storage/docs/gcs429.",
            )

    def bucket_made(self, bucket: str) -> None:
        """Remember an update of a bucket's metadata that was applied."""
        self._last[bucket, ""] = time.monotonic()

    def check(self, bucket: str, name: str) -> None:
        """Let a change of an object name pass, or stop it; `made` tells once it is applied.

        Raises:
            ApiError: 429, as Cloud Storage words it.
        """
        apart = self._apart
        if apart and time.monotonic() - self._last.get((bucket, name), -apart) < apart:
            self._refused[f"{bucket}/{name}"] += 1
            raise ApiError(
                429,
                f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, and "
                "delete). Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429.",
            )

    def made(self, bucket: str, name: str) -> None:
        """Count a change that was applied."""
        apart = self._apart
        if not apart:
            return
        now = time.monotonic()
        if len(self._last) > _MOST_REMEMBERED:
            longest = max(apart, self._faults.current.bucket_update_seconds)
            self._last = {key: at for key, at in self._last.items() if now - at < longest}
        self._last[bucket, name] = now
        self._made[f"{bucket}/{name}"] += 1
        if len(self._made) > _MOST_REMEMBERED:
            self._made = Counter(dict(self._made.most_common(_MOST_REMEMBERED // 2)))

    async def show(self, request: Request) -> JSONResponse:
        """Answer how often each object name was changed while the limit was in force, and how often that was refused.

        `?prefix=` selects by the beginning of `bucket/name`; DELETE begins to count anew.
        """
        prefix = request.query_params.get("prefix", "")
        counts = {
            word: {name: count for name, count in counted.items() if name.startswith(prefix)}
            for word, counted in (("made", self._made), ("refused", self._refused))
        }
        if request.method == "DELETE":
            self._made.clear()
            self._refused.clear()
        return JSONResponse(counts)
