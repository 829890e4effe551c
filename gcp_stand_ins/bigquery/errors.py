"""Errors as BigQuery answers them: a call's as an HTTP status, a job's as its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_STATUS = {
    "invalid": 400,
    "invalidQuery": 400,
    "parseError": 400,
    "resourceInUse": 400,
    "stopped": 400,
    "accessDenied": 403,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "notFound": 404,
    "duplicate": 409,
    "conditionNotMet": 412,
    "uploadTooLarge": 413,
    "notImplemented": 501,
    "backendError": 503,
    "internalError": 500,
}
"""The status of each reason. Source: https://cloud.google.com/bigquery/docs/error-messages"""
_REASON_OF_STATUS = {400: "invalid", 401: "authError", 404: "notFound", 409: "duplicate"}


class ApiError(Exception):
    """What was asked for cannot be done.

    Args:
        reason: BigQuery's machine-readable word, which the official client decides retries by.
        message: what happened and what to do.
        status: the HTTP status, where it is not the one that belongs to `reason`.
        location: the part of the request that is wrong.
        causes: of a job that several bad rows have failed, each of them.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: int | None = None,
        location: str = "",
        causes: Sequence[ApiError] = (),
    ) -> None:
        super().__init__(message)
        self.causes = causes
        self.reason = reason
        self.message = message
        self.status = status or _STATUS.get(reason, 400)
        self.location = location

    def detail(self) -> dict[str, str]:
        """Return it as an `ErrorProto`: part of a job, or of an answer to `insertAll`."""
        where = {"location": self.location} if self.location else {}
        return {"reason": self.reason, "message": self.message, **where}

    def document(self) -> dict[str, Any]:
        """Return it as the body of an HTTP error."""
        error = {**self.detail(), "domain": "global"}
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}


def invalid(message: str, *, location: str = "") -> ApiError:
    """Return the error of a request that can never succeed as it is."""
    return ApiError("invalid", message, location=location)


def not_found(kind: str, name: str) -> ApiError:
    """Return the error of a name that leads nowhere; `kind` is `Dataset`, `Table` or `Job`."""
    return ApiError("notFound", f"Not found: {kind} {name}")


def duplicate(kind: str, name: str) -> ApiError:
    """Return the error of a name that is taken."""
    return ApiError("duplicate", f"Already Exists: {kind} {name}")


def not_implemented(what: str) -> ApiError:
    """Return the error of what BigQuery has and this stand-in does not."""
    return ApiError("notImplemented", f"The local BigQuery stand-in does not implement {what}.")


def from_result(result: dict[str, str]) -> ApiError:
    """Return the error of a failed job as the error of a call that asks for its rows."""
    return ApiError(result["reason"], result["message"], location=result.get("location", ""))


def injected(code: str, method: str) -> ApiError:
    """Return the error that a fault setting asks for: an HTTP status, or `unavailable`."""
    status = 503 if code == "unavailable" else int(code)
    reason = _REASON_OF_STATUS.get(status, "rateLimitExceeded" if status == 429 else "backendError")  # noqa: PLR2004
    return ApiError(reason, f"{method}: injected fault {code}; see the fault settings of the stand-in.", status=status)
