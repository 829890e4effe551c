"""What a call and an answer are inside this stand-in, apart from any server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Resource = dict[str, Any]

JSON_BODY_LIMIT_BYTES = 8 * 1024 * 1024
"""Above every metadata document and batch that Cloud Storage accepts."""

REASONS = {
    400: "invalid",
    403: "forbidden",
    404: "notFound",
    408: "requestTimeout",
    409: "conflict",
    412: "conditionNotMet",
    413: "uploadTooLarge",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    499: "clientClosedRequest",
    501: "notImplemented",
}


class ApiError(Exception):
    """The call fails with an HTTP status, worded as Cloud Storage words it.

    Args:
        status: HTTP status; 304 is answered without a body.
        message: what happened and what it means, for the caller.
        reason: Cloud Storage's machine-readable word; by default the usual one of the status.
        headers: sent with the error.
    """

    def __init__(
        self, status: int, message: str, *, reason: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or REASONS.get(status, "backendError")
        self.headers = headers or {}


class ClientGoneError(Exception):
    """The caller hung up before its request was complete; nobody is there to answer."""


@dataclass(slots=True)
class Answer:
    """A response; a body that is an iterator is streamed and closed."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A request; the path is still percent-encoded, because object names hold slashes."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: AsyncIterator[bytes]
    base_url: str
    """Scheme and host as the caller wrote them, so that links lead back the way it came."""
    raw_query: str = ""
    """The query as it came: `query` has only the last of a parameter that is given more than once."""

    async def whole_body(self, limit_bytes: int = JSON_BODY_LIMIT_BYTES) -> bytes:
        """Return a body that is known to be small.

        Raises:
            ApiError: 413, it is larger than `limit_bytes`.
        """
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.body:
            size += len(chunk)
            if size > limit_bytes:
                raise ApiError(413, f"The body is larger than the {limit_bytes} bytes that {self.path} takes.")
            chunks.append(chunk)
        return b"".join(chunks)

    async def resource(self) -> Resource:
        """Return the JSON object in the body; an empty body is an empty object.

        Raises:
            ApiError: 400, it is something else.
        """
        return parse_resource(await self.whole_body())

    def number(self, name: str) -> int | None:
        """Return a whole number from the query, None when it is not given.

        Raises:
            ApiError: 400, it is no whole number.
        """
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            raise ApiError(400, f"Invalid value for {name}: {text!r} is not a whole number.") from None

    def flag(self, name: str) -> bool:
        """Return a boolean from the query; Google's clients send `True` as well as `true`."""
        return self.query.get(name, "").lower() == "true"


def parse_query(text: str) -> dict[str, str]:
    """Return the query's parameters; of one given twice, the last."""
    return dict(parse_qsl(text, keep_blank_values=True))


def parse_resource(body: bytes) -> Resource:
    """Return the JSON object in `body`; nothing but blanks is an empty object.

    Raises:
        ApiError: 400, it is something else.
    """
    if not body.strip():
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"Parse Error: the body is not JSON: {error}", reason="parseError") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ApiError(400, "Parse Error: the body has to be a JSON object.", reason="parseError")
    return found


def json_answer(resource: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return `resource` as a JSON answer."""
    whole = {"content-type": "application/json; charset=UTF-8", **(headers or {})}
    return Answer(status, msgspec.json.encode(resource), whole)


def error_answer(error: ApiError) -> Answer:
    """Return `error` in the form that Google's clients read."""
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Answer(error.status, b"", error.headers)
    detail = {"message": error.message, "domain": "global", "reason": error.reason}
    document = {"error": {"code": error.status, "message": error.message, "errors": [detail]}}
    return json_answer(document, error.status, error.headers)
