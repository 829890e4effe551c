"""Ask a loopback server something, without a thread and without a client library."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


async def get_json(url: str, *, timeout_seconds: float = 10.0) -> Any:
    """Return the JSON body of a GET.

    Raises:
        OSError: nobody answers there, or not in time, or with another status than 200, or not with JSON.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    # HTTP/1.0: no chunked bodies, and the server closes at the end of the body.
    request = f"GET {target or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(request.encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
    except TimeoutError as error:
        raise OSError(f"no answer within {timeout_seconds:g} s from {url}") from error
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split()
    if len(status) < 2 or status[1] != b"200":  # noqa: PLR2004 - protocol and code
        raise OSError(f"{url} answers {head[:60].decode(errors='replace')!r}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise OSError(f"{url} answers something else than JSON") from error
