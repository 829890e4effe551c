"""Ask a loopback server something, without a thread and without a client library."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

_GOOD = (b"200", b"201")


class LoginRequired(OSError):
    """The server wants to know who asks (401)."""


async def get_json(url: str, *, token: str | None = None, timeout_seconds: float = 10.0) -> Any:
    """Return the JSON body of a GET.

    Args:
        url: where.
        token: shown as the bearer's.
        timeout_seconds: bound on all of it.

    Raises:
        LoginRequired: the token is none, or none that is good.
        OSError: nobody answers there, or not in time, or with another status than 200, or not with JSON.
    """
    shown = "" if token is None else f"Authorization: Bearer {token}\r\n"
    return await _json("GET", url, shown, b"", timeout_seconds)


async def post_json(url: str, body: object, *, timeout_seconds: float = 10.0) -> Any:
    """Return the JSON body of what a POST of JSON answers; errors as `get_json`."""
    content = json.dumps(body).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return await _json("POST", url, head, content, timeout_seconds)


async def _json(method: str, url: str, head: str, body: bytes, timeout_seconds: float) -> Any:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    # HTTP/1.0: no chunked bodies, and the server closes at the end of the body.
    request = f"{method} {target or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n{head}\r\n"
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(request.encode() + body)
                answer = await reader.read(-1)
            finally:
                writer.close()
    except TimeoutError as error:
        raise OSError(f"no answer within {timeout_seconds:g} s from {parts.netloc}") from error
    answered, _, content = answer.partition(b"\r\n\r\n")
    status = answered.split(b"\r\n", 1)[0].split()
    code = status[1] if len(status) > 1 else b""
    if code not in _GOOD:
        kind = LoginRequired if code == b"401" else OSError
        raise kind(f"{url} answers {answered[:60].decode(errors='replace')!r}")
    try:
        return json.loads(content)
    except ValueError as error:
        raise OSError(f"{url} answers something else than JSON") from error
