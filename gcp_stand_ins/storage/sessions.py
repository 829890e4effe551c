"""Resumable upload sessions, kept so that one goes on after this process was killed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec

from gcp_stand_ins.storage.content import ContentFolder, Draft
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.preconditions import Preconditions
from gcp_stand_ins.storage.resources import StoredObject
from gcp_stand_ins.storage.wire import ApiError, Resource

_SESSION_LIFETIME_SECONDS = 7 * 24 * 3600
"""Cloud Storage forgets a session after a week."""


@dataclass(slots=True)
class Session:
    """One resumable upload."""

    id: str
    bucket: str
    name: str
    fields: Resource
    expected: dict[str, str]
    """Hashes that the caller gave at the start."""
    conditions: Preconditions
    draft: Draft
    finished: StoredObject | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One request at a time: a client that gave up waiting may send the same chunk again."""


class _Kept(msgspec.Struct):
    fields: Resource
    expected: dict[str, str]


class Sessions:
    """All sessions that are under way or ended lately.

    Args:
        database: where they are kept.
        contents: where their bytes gather.
    """

    def __init__(self, database: Database, contents: ContentFolder) -> None:
        self._database = database
        self._contents = contents
        self._open: dict[str, Session] = {}
        # Wall clock: a session's age survives a restart.
        database.execute("DELETE FROM uploads WHERE started_at < ?", (time.time() - _SESSION_LIFETIME_SECONDS,))

    def start(
        self, *, bucket: str, name: str, fields: Resource, expected: dict[str, str], conditions: Preconditions
    ) -> Session:
        """Open a session and keep it."""
        session = Session(uuid4().hex, bucket, name, fields, expected, conditions, self._contents.lasting_draft())
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO uploads (id, bucket, name, content, resource, preconditions, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    session.id,
                    bucket,
                    name,
                    session.draft.key,
                    msgspec.json.encode(_Kept(fields, expected)),
                    msgspec.json.encode(conditions.as_dict()),
                    time.time(),
                ),
            )
        self._open[session.id] = session
        return session

    async def get(self, session_id: str) -> Session | StoredObject:
        """Return a session with what has arrived, or the object that it ended as.

        Raises:
            ApiError: 404, it never was, was cancelled or is too old.
        """
        if session_id in self._open:
            return self._open[session_id]
        row = self._database.execute(
            "SELECT bucket, name, content, resource, preconditions, finished FROM uploads WHERE id = ?", (session_id,)
        ).fetchone()
        if row is None:
            raise ApiError(404, f"No upload session {session_id}: it never was, was cancelled, or is over a week old.")
        bucket, name, key, kept_json, conditions, finished = row
        if finished is not None:
            return msgspec.json.decode(finished, type=StoredObject)
        kept = msgspec.json.decode(kept_json, type=_Kept)
        draft = self._contents.lasting_draft(key)
        await draft.resume()
        session = Session(
            session_id,
            bucket,
            name,
            kept.fields,
            kept.expected,
            Preconditions(**msgspec.json.decode(conditions)),
            draft,
        )
        # Somebody else may have taken it up while the file was hashed.
        return self._open.setdefault(session_id, session)

    def finish(self, session: Session, created: StoredObject) -> None:
        """Note what the session ended as; part of the transaction under way."""
        session.finished = created
        self._database.execute(
            "UPDATE uploads SET finished = ?, content = '' WHERE id = ?", (msgspec.json.encode(created), session.id)
        )

    def close(self, session: Session) -> None:
        """Let go of a finished session in memory; a repeated last request is answered from the database."""
        self._open.pop(session.id, None)

    def cancel(self, session: Session) -> None:
        """Forget a session and its bytes."""
        self._open.pop(session.id, None)
        with self._database.transaction():
            self._database.execute("DELETE FROM uploads WHERE id = ?", (session.id,))
        session.draft.discard()
