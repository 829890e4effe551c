"""Reading a `multipart/related` upload as it arrives: a small JSON part, then media of any size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message

from gcp_stand_ins.storage.wire import JSON_BODY_LIMIT_BYTES, ApiError


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a multipart content type names.

    Raises:
        ApiError: 400, it names none.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if not header.get_content_type().startswith("multipart/") or not isinstance(boundary, str) or not boundary:
        raise ApiError(400, f"Expected a multipart content type with a boundary, got {content_type!r}.")
    return boundary.encode()


class RelatedBody:
    """The two parts of a multipart upload; read `metadata` first, then `media`.

    Args:
        body: the request's body as it arrives.
        boundary: what separates the parts.
    """

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body = body
        self._buffer = b""
        self._opening = b"--" + boundary
        self._newline = b"\r\n"

    async def metadata(self) -> bytes:
        """Return the first part, the object resource in JSON."""
        await self._take_until(self._opening)
        # Python's email package, which some clients build bodies with, ends lines without a carriage return.
        while len(self._buffer) < 2:  # noqa: PLR2004 - the longer of the two line ends
            await self._more()
        self._newline = b"\r\n" if self._buffer.startswith(b"\r\n") else b"\n"
        await self._take_until(self._newline)
        await self._headers()
        document = await self._take_until(self._newline + self._opening)
        await self._take_until(self._newline)
        return document

    async def media_type(self) -> str | None:
        """Return the content type of the second part, None when it names none."""
        return (await self._headers()).get("content-type")

    async def media(self) -> AsyncIterator[bytes]:
        """Yield the second part's bytes.

        Raises:
            ApiError: 400, the body ends before its closing boundary.
        """
        closing = self._newline + self._opening
        while True:
            end = self._buffer.find(closing)
            if end >= 0:
                if end:
                    yield self._buffer[:end]
                break
            # The tail may be the beginning of the boundary.
            sure = len(self._buffer) - len(closing) + 1
            if sure > 0:
                yield self._buffer[:sure]
                self._buffer = self._buffer[sure:]
            await self._more()
        async for _ in self._body:
            pass

    async def _headers(self) -> dict[str, str]:
        if not self._buffer.startswith(self._newline):
            if len(self._buffer) < len(self._newline):
                await self._more()
                return await self._headers()
            lines = (await self._take_until(self._newline + self._newline)).split(self._newline)
            pairs = (line.decode("latin-1").partition(":") for line in lines)
            return {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._buffer = self._buffer[len(self._newline) :]
        return {}

    async def _take_until(self, marker: bytes) -> bytes:
        while (end := self._buffer.find(marker)) < 0:
            if len(self._buffer) > JSON_BODY_LIMIT_BYTES:
                raise ApiError(413, "The metadata part of the multipart upload is too large.")
            await self._more()
        taken, self._buffer = self._buffer[:end], self._buffer[end + len(marker) :]
        return taken

    async def _more(self) -> None:
        async for chunk in self._body:
            self._buffer += chunk
            return
        raise ApiError(400, "The multipart body ends before its closing boundary; the upload is incomplete.")
