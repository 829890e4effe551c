"""What this stand-in can be told to do wrong, beyond what every stand-in can."""

from __future__ import annotations

import random
from http import HTTPStatus

from pydantic import Field, field_validator

from gcp_stand_ins.faults import HttpFaults


class StorageFaults(HttpFaults):
    """Faults of Cloud Storage; methods are named as in the JSON API: `objects.insert`, `buckets.get`."""

    drop_notifications: float = Field(default=0.0, ge=0, le=1)
    """Share of notifications that are never published."""
    duplicate_notifications: float = Field(default=0.0, ge=0, le=1)
    """Share of notifications that are published twice."""
    delay_notifications_seconds: float = Field(default=0.0, ge=0)
    """How old a notification is before it is published."""
    lose_answers: float = Field(default=0.0, ge=0, le=1)
    """Share of changes that are applied and then answered with 503, as when the connection breaks at the wrong moment.

    A client that repeats such a call meets its own change: a write with `ifGenerationMatch=0` is told 412.
    `error_methods` applies to it, too.
    """

    object_write_seconds: float | None = Field(default=None, ge=0)
    """Changes of the same object name (create, update, delete) are at least so far apart; what comes sooner is answered with 429.

    Without it, what `--object-write-seconds` says is in force: one a second, as Cloud Storage takes it, of writes and of updates
    of metadata (https://cloud.google.com/storage/quotas, read 2026-12-01); its error speaks of both as one kind of change, so here
    they share one. While a limit is in force, writes are counted by name: `GET /writes` of the admin route.
    """
    bucket_update_seconds: float = Field(default=1.0, ge=0)
    """Updates of a bucket's metadata are at least so far apart; what comes sooner is answered with 429. 0: no limit.

    Cloud Storage takes one a second (https://cloud.google.com/storage/quotas, read 2026-12-01). To create a bucket, or a
    notification configuration, is no update of its metadata.
    """

    def loses_answer(self, method: str) -> bool:
        """Tell whether the answer to an applied call of `method` is to be lost."""
        if self.error_methods and method not in self.error_methods:
            return False
        return random.random() < self.lose_answers  # noqa: S311 - not a secret

    @field_validator("error_code")
    @classmethod
    def _is_an_error_status(cls, code: str) -> str:
        if not code.isdecimal() or not HTTPStatus.BAD_REQUEST <= int(code) <= 599:  # noqa: PLR2004 - the last 5xx
            raise ValueError(f"{code!r} is not an HTTP error status (400 to 599)")
        return code
