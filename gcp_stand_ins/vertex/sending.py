"""How requests come in and answers go out over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gcp_stand_ins.faults import GivenAnswer
from gcp_stand_ins.vertex.errors import ApiError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = b"application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Events:
    """An answer in parts.

    Args:
        sse: as server-sent events; otherwise as a JSON array.
    """

    parts: Iterable[dict[str, Any]]
    sse: bool


async def read_body(receive: Receive) -> bytes:
    """Return a request's whole body."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(chunks)


async def _send(
    send: Send, status: int, body: bytes, *, content_type: bytes = _JSON, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    head = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_document(send: Send, document: dict[str, Any]) -> None:
    """Send an answer in one part."""
    await _send(send, 200, msgspec.json.encode(document))


async def send_error(send: Send, error: ApiError) -> None:
    """Send an error as Google's APIs do."""
    await _send(send, error.http_status, msgspec.json.encode(error.document()), headers=error.headers())


async def send_given(send: Send, answer: GivenAnswer) -> None:
    """Send what the fault settings say, word for word."""
    headers = {**answer.all_headers, "content-length": str(len(answer.body))}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body})


async def send_events(send: Send, answer: Events) -> None:
    """Send an answer in parts."""
    if not answer.sse:
        await _send(send, 200, msgspec.json.encode(list(answer.parts)))
        return
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for part in answer.parts:
        body = b"data: " + msgspec.json.encode(part) + b"\r\n\r\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
