"""What this stand-in can be told to do wrong, beyond what every stand-in can."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import Field, field_validator

from genops_events.local.faults import Faults


class StorageFaults(Faults):
    """Faults of Cloud Storage; methods are named as in the JSON API: `objects.insert`, `buckets.get`."""

    drop_notifications: float = Field(default=0.0, ge=0, le=1)
    """Share of notifications that are never published."""
    duplicate_notifications: float = Field(default=0.0, ge=0, le=1)
    """Share of notifications that are published twice."""
    delay_notifications_seconds: float = Field(default=0.0, ge=0)
    """How old a notification is before it is published."""

    @field_validator("error_code")
    @classmethod
    def _is_an_error_status(cls, code: str) -> str:
        if not code.isdecimal() or not HTTPStatus.BAD_REQUEST <= int(code) <= 599:  # noqa: PLR2004 - the last 5xx
            raise ValueError(f"{code!r} is not an HTTP error status (400 to 599)")
        return code
