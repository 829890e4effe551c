"""Take the bodies of recorded calls apart: JSON, server-sent events, and the parts of multipart bodies."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlsplit


def body_of(line: Mapping[str, Any], name: str) -> bytes:
    """Return the body that a recorded line has as `name`, `request` or `answer`."""
    if name in line:
        return str(line[name]).encode()
    return base64.b64decode(line.get(f"{name}_base64", ""))


def json_of(body: bytes) -> Any:
    """Return what a body of JSON holds.

    Raises:
        ValueError: it is no JSON, or has a name twice or a bare NaN, which Google never writes and does not read.
    """
    return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def events_of(body: bytes) -> Iterator[Any]:
    """Yield what each server-sent event holds."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            yield json_of(line[len(b"data:") :])


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Return content type and content of each part of a multipart body."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = message.get_payload()
    found = []
    for part in parts if isinstance(parts, list) else ():
        assert isinstance(part, Message)
        payload = part.get_payload(decode=True)
        found.append((part.get_content_type(), payload if isinstance(payload, bytes) else b""))
    return found


def inner_calls(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the calls of a batch as if each had been recorded alone.

    How they are packed: https://cloud.google.com/storage/docs/batch (read on 2026-11-30).
    """
    requests = parts_of(line["request_type"], body_of(line, "request"))
    answers = parts_of(line["answer_type"], body_of(line, "answer"))
    for (_, request), (_, answer) in zip(requests, answers, strict=True):
        first, headers, content = _http(request)
        verb, address, *_ = first.split(" ")
        status, answer_headers, answered = _http(answer)
        url = urlsplit(address)
        yield {
            "service": line["service"],
            "method": verb,
            "path": url.path,
            "query": url.query,
            "request": content.decode(),
            "request_type": headers.get("content-type", ""),
            "request_read": True,
            "status": int(status.split(" ")[1]),
            "answer": answered.decode(),
            "answer_type": answer_headers.get("content-type", ""),
            "answered": True,
        }


def _http(message: bytes) -> tuple[str, Mapping[str, str], bytes]:
    """Return first line, headers by lower-case name, and content of an HTTP message."""
    first, _, rest = message.lstrip().replace(b"\r\n", b"\n").partition(b"\n")
    head, _, content = (b"", b"", rest[1:]) if rest.startswith(b"\n") else rest.partition(b"\n\n")
    headers = {}
    for one in head.decode("latin-1").splitlines():
        name, _, value = one.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first.decode("latin-1"), headers, content
