"""Errors as Google's APIs answer them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_HTTP_OF_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
INTERNAL = 13
"""Canonical code of an error of a job that is not the caller's."""
_STATUS_OF_HTTP = {code: status for status, code in reversed(_HTTP_OF_STATUS.items())}


class ApiError(Exception):
    """A call that is answered with an error.

    Args:
        status: canonical status, for instance `"INVALID_ARGUMENT"`.
        message: what happened and what to do.
        http_status: the HTTP status, where it is not the one that belongs to `status`.
        retry_after_seconds: when the client may come back; 0 says nothing about it.
    """

    def __init__(
        self, status: str, message: str, *, http_status: int | None = None, retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.http_status = http_status or _HTTP_OF_STATUS.get(status, 500)
        self.retry_after_seconds = retry_after_seconds

    def document(self) -> dict[str, object]:
        """Return the JSON body."""
        error: dict[str, object] = {"code": self.http_status, "message": self.message, "status": self.status}
        if self.retry_after_seconds:
            delay = f"{self.retry_after_seconds:.9f}".rstrip("0").rstrip(".")
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"}]
        return {"error": error}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that belong to it: when to come back, in whole seconds."""
        if not self.retry_after_seconds:
            return []
        return [(b"retry-after", str(math.ceil(self.retry_after_seconds)).encode())]


def invalid(message: str) -> ApiError:
    """Return the error of a request that can never succeed as it is."""
    return ApiError("INVALID_ARGUMENT", message)


def as_object(value: Any, where: str) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, an empty one for nothing.

    Raises:
        ApiError: it is something else; `where` names its place in the request.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(f"{where} must be an object; found {type(value).__name__}.")
    return value


def not_found(message: str) -> ApiError:
    """Return the error of a name that leads nowhere."""
    return ApiError("NOT_FOUND", message)


def not_implemented(what: str) -> ApiError:
    """Return the error of a call that Vertex AI has and this stand-in does not."""
    return ApiError("UNIMPLEMENTED", f"The local Vertex AI stand-in does not implement {what}.")


def injected(code: str, retry_after_seconds: float | None = None) -> ApiError:
    """Return the error that a fault setting asks for.

    Args:
        code: an HTTP status (`"429"`), a canonical status (`"INTERNAL"`), or `"unavailable"`.
        retry_after_seconds: what a 429 or 503 says of it; None lets a 429 say one second, and a 503 nothing.
    """
    if code.isdigit():
        status, http_status = _STATUS_OF_HTTP.get(int(code), "UNKNOWN"), int(code)
    else:
        status = code.upper()
        http_status = _HTTP_OF_STATUS.get(status, 500)
    wait = 0.0
    if http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        exhausted = http_status == HTTPStatus.TOO_MANY_REQUESTS
        wait = retry_after_seconds if retry_after_seconds is not None else float(exhausted)
    return ApiError(status, f"Injected fault: {status}.", http_status=http_status, retry_after_seconds=wait)
