"""Uploads in the three forms of the JSON API: media, multipart and resumable."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from gcp_stand_ins.storage.content import ContentFolder, Draft
from gcp_stand_ins.storage.objects import Objects
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.related import RelatedBody, boundary_of
from gcp_stand_ins.storage.resources import StoredObject, check_object_name, writable
from gcp_stand_ins.storage.sessions import Session, Sessions
from gcp_stand_ins.storage.wire import Answer, ApiError, Call, Resource, json_answer, parse_resource

CHUNK_MULTIPLE_BYTES = 256 * 1024
"""Every chunk but the last has to be a multiple of this, as Cloud Storage asks."""

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """What a `Content-Range` says; `start` is None when the request only asks or ends, `total` when it is unknown."""

    start: int | None
    end: int
    total: int | None

    @classmethod
    def parse(cls, header: str | None) -> ChunkRange | None:
        """Return the range, None when there is no header: the body is then the whole object.

        Raises:
            ApiError: 400, it is not of the form that Cloud Storage takes.
        """
        if header is None:
            return None
        found = _CONTENT_RANGE.fullmatch(header.strip())
        if found is None:
            raise ApiError(
                400, f"Invalid Content-Range: {header!r}. Expected 'bytes A-B/N', 'bytes A-B/*' or 'bytes */N'."
            )
        start = None if found[1] is None else int(found[1])
        end = -1 if found[2] is None else int(found[2])
        total = None if found[3] == "*" else int(found[3])
        if start is None:
            return cls(None, -1, total)
        if end < start or (total is not None and end >= total):
            raise ApiError(400, f"Invalid Content-Range: {header!r} contradicts itself.")
        if (total is None or end + 1 < total) and (end + 1 - start) % CHUNK_MULTIPLE_BYTES:
            raise ApiError(
                400,
                f"Invalid request. There were {end + 1 - start} byte(s) in the request body; every chunk but the last"
                f" has to be a multiple of {CHUNK_MULTIPLE_BYTES} bytes.",
            )
        return cls(start, end, total)


class Uploads:
    """The calls that bring bytes in.

    Args:
        objects: what they become.
        contents: where the bytes go.
        sessions: the resumable ones under way.
    """

    def __init__(self, objects: Objects, contents: ContentFolder, sessions: Sessions) -> None:
        self._objects = objects
        self._contents = contents
        self._sessions = sessions

    async def insert(self, call: Call, bucket: str) -> Answer:
        """Take an upload, or open a resumable session."""
        refuse_customer_keys(call)
        kind = call.query.get("uploadType")
        if kind == "media":
            fields = {"contentType": call.headers.get("content-type") or "application/octet-stream"}
            return await self._whole(call, bucket, {"name": call.query.get("name"), **fields}, call.body)
        if kind == "multipart":
            related = RelatedBody(call.body, boundary_of(call.headers.get("content-type", "")))
            given = parse_resource(await related.metadata())
            media_type = await related.media_type()
            if media_type:
                given.setdefault("contentType", media_type)
            return await self._whole(call, bucket, given, related.media())
        if kind == "resumable":
            if "upload_id" in call.query:
                return await self.resume(call, bucket)
            return await self._start(call, bucket)
        raise ApiError(400, f"Invalid uploadType: {kind!r}. Expected media, multipart or resumable.")

    async def _whole(self, call: Call, bucket: str, given: Resource, body: AsyncIterator[bytes]) -> Answer:
        name, fields = _named(call, given)
        conditions = Preconditions.of_call(call)
        self._objects.check_can_write(bucket, name, conditions)
        draft = self._contents.draft()
        try:
            async for chunk in body:
                await draft.write(chunk)
            content = draft.finish()
            content.check(_expected(given) | _header_hashes(call))
            created = self._objects.finalize(
                bucket=bucket, name=name, content=content, fields=fields, conditions=conditions
            )
        except BaseException:
            draft.discard()
            raise
        return json_answer(created.on_wire(call.base_url))

    async def _start(self, call: Call, bucket: str) -> Answer:
        given = await call.resource()
        media_type = call.headers.get("x-upload-content-type")
        if media_type:
            given.setdefault("contentType", media_type)
        name, fields = _named(call, given)
        conditions = Preconditions.of_call(call)
        self._objects.check_can_write(bucket, name, conditions)
        session = self._sessions.start(
            bucket=bucket, name=name, fields=fields, expected=_expected(given), conditions=conditions
        )
        location = f"{call.base_url}{call.path}?uploadType=resumable&upload_id={session.id}"
        return Answer(200, b"", {"location": location, "x-guploader-uploadid": session.id})

    async def resume(self, call: Call, _bucket: str) -> Answer:
        """Take a chunk of a resumable upload, say how far it is, or end it."""
        part = ChunkRange.parse(call.headers.get("content-range"))
        session = await self._sessions.get(call.query.get("upload_id", ""))
        if isinstance(session, StoredObject):
            return json_answer(session.on_wire(call.base_url))
        async with session.lock:
            if session.finished is not None:
                return json_answer(session.finished.on_wire(call.base_url))
            if part is None:
                await self._take_all(session, call)
                return self._end(session, call)
            if part.start is not None:
                await self._take_chunk(session, part.start, part.end, call)
            if part.total is not None and session.draft.size > part.total:
                raise ApiError(400, f"Invalid request. {session.draft.size} bytes are here, more than {part.total}.")
            if part.total is not None and session.draft.size == part.total:
                return self._end(session, call)
        return _incomplete(session)

    async def cancel(self, call: Call, _bucket: str) -> Answer:
        """Drop a resumable session; 499 is how Cloud Storage says that it did."""
        session = await self._sessions.get(call.query.get("upload_id", ""))
        if isinstance(session, Session):
            self._sessions.cancel(session)
        return Answer(499)

    async def _take_all(self, session: Session, call: Call) -> None:
        if session.draft.size:
            raise ApiError(400, "Invalid request. The upload has begun; a further chunk needs a Content-Range.")
        await _append(session.draft, call.body, skip=0)

    async def _take_chunk(self, session: Session, start: int, end: int, call: Call) -> None:
        size = end + 1 - start
        announced = call.headers.get("content-length")
        if announced is not None and int(announced) != size:
            raise ApiError(400, f"Invalid request. Content-Range means {size} bytes, Content-Length says {announced}.")
        here = session.draft.size
        if start > here:
            raise ApiError(
                503,
                f"Invalid request.  According to the Content-Range header, the upload offset is {start} byte(s), "
                f"which exceeds already uploaded size of {here} byte(s).",
            )
        # A chunk sent again, because its answer was lost, begins with bytes that are already here.
        await _append(session.draft, call.body, skip=here - start)

    def _end(self, session: Session, call: Call) -> Answer:
        content = session.draft.finish()
        try:
            content.check(session.expected | _header_hashes(call))
            created = self._objects.finalize(
                bucket=session.bucket,
                name=session.name,
                content=content,
                fields=session.fields,
                conditions=session.conditions,
                also=partial(self._sessions.finish, session),
            )
        except ApiError as error:
            self._sessions.cancel(session)
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                # The session is over, and 410 tells a client to begin another one: so it was reported of the real service,
                # https://github.com/learningequality/studio/issues/964 (read 2026-12-01).
                raise ApiError(HTTPStatus.GONE, error.message, reason=error.reason) from error
            raise
        self._sessions.close(session)
        return json_answer(created.on_wire(call.base_url))


async def _append(draft: Draft, body: AsyncIterator[bytes], *, skip: int) -> None:
    """Add `body` without its first `skip` bytes; what arrived before a caller hung up is kept."""
    try:
        async for chunk in body:
            fresh = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if fresh:
                await draft.write(fresh)
    finally:
        draft.pause()


def _incomplete(session: Session) -> Answer:
    headers = {"x-guploader-uploadid": session.id}
    if session.draft.size:
        headers["range"] = f"bytes=0-{session.draft.size - 1}"
    return Answer(HTTPStatus.PERMANENT_REDIRECT, b"", headers)


def _named(call: Call, given: Resource) -> tuple[str, Resource]:
    name = check_object_name(given.get("name") or call.query.get("name"))
    fields = writable(given)
    if "contentEncoding" in call.query:
        fields.setdefault("contentEncoding", call.query["contentEncoding"])
    return name, fields


def _expected(given: Resource) -> dict[str, str]:
    return {name: str(given[name]) for name in ("md5Hash", "crc32c") if given.get(name)}


def _header_hashes(call: Call) -> dict[str, str]:
    """Return the hashes that a request's headers promise for the whole object."""
    found = {"md5Hash": call.headers["content-md5"]} if "content-md5" in call.headers else {}
    for one in call.headers.get("x-goog-hash", "").split(","):
        kind, _, value = one.strip().partition("=")
        if kind in {"md5", "crc32c"} and value:
            found["md5Hash" if kind == "md5" else "crc32c"] = value
    return found


def refuse_customer_keys(call: Call) -> None:
    """Say that encryption with the caller's own keys is not here, rather than store plain bytes.

    Raises:
        ApiError: 501.
    """
    if "kmsKeyName" in call.query or any("encryption-" in name for name in call.headers):
        raise ApiError(
            501, "The local Cloud Storage has no customer-supplied or customer-managed keys; leave them out."
        )
