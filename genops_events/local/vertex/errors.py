"""Errors as Google's APIs answer them."""

from __future__ import annotations

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
_STATUS_OF_HTTP = {code: status for status, code in reversed(_HTTP_OF_STATUS.items())}


class ApiError(Exception):
    """A call that is answered with an error.

    Args:
        status: canonical status, for instance `"INVALID_ARGUMENT"`.
        message: what happened and what to do.
        http_status: the HTTP status, where it is not the one that belongs to `status`.
    """

    def __init__(self, status: str, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.http_status = http_status or _HTTP_OF_STATUS.get(status, 500)

    def document(self) -> dict[str, object]:
        """Return the JSON body."""
        return {"error": {"code": self.http_status, "message": self.message, "status": self.status}}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that belong to it: when to come back, for an exhausted quota."""
        return [(b"retry-after", b"1")] if self.http_status == HTTPStatus.TOO_MANY_REQUESTS else []


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


def injected(code: str) -> ApiError:
    """Return the error that a fault setting asks for.

    Args:
        code: an HTTP status (`"429"`), a canonical status (`"INTERNAL"`), or `"unavailable"`.
    """
    if code.isdigit():
        status = _STATUS_OF_HTTP.get(int(code), "UNKNOWN")
        return ApiError(status, f"Injected fault: {status}.", http_status=int(code))
    return ApiError(code.upper(), f"Injected fault: {code.upper()}.")
