"""The bytes of objects, written before the metadata that makes them an object.

Large ones are files of their own; small ones are rows of the database, because creating a file can cost more than all
the rest of a small upload.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import shutil
import zlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import google_crc32c

from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.wire import ApiError

_BLOCK_BYTES = 1024 * 1024
"""What is hashed and written at once, in a thread; anything smaller is quicker done in place."""

_READ_BYTES = 256 * 1024

SMALL_BYTES = 64 * 1024
"""The largest content that is kept in the database."""

_SMALL = "small-"
"""Keys of contents in the database begin so."""

_SHARDS = [f"{number:02x}" for number in range(256)]


@dataclass(frozen=True, slots=True)
class Content:
    """A finished file: its key in the folder, size and hashes (base64, as Cloud Storage writes them)."""

    key: str
    size: int
    crc32c: str
    md5: str | None

    def check(self, expected: dict[str, str]) -> None:
        """Let the bytes pass when they have the hashes that the caller sent.

        Args:
            expected: `md5Hash` and `crc32c`, either or none.

        Raises:
            ApiError: 400, they arrived damaged.
        """
        for label, name, own in (("MD5 hash", "md5Hash", self.md5), ("CRC32C", "crc32c", self.crc32c)):
            given = expected.get(name)
            if given is not None and own is not None and given != own:
                raise ApiError(400, f'Provided {label} "{given}" doesn\'t match calculated {label} "{own}".')


class Draft:
    """Bytes on their way in: hashed and written as they come, at most a block in memory.

    Args:
        path: file to write; bytes already there are hashed by `resume`.
        small_contents: where small content goes in the end; None for a draft that has to outlive this process
            before it is finished, and so is a file from the start.
    """

    def __init__(self, path: Path, small_contents: SmallContents | None = None) -> None:
        self._path = path
        self._small_contents = small_contents
        self._small_key: str | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.size = 0

    @property
    def key(self) -> str:
        """The name under which the folder will know the bytes."""
        return self._path.name

    async def resume(self) -> None:
        """Take up what an earlier process wrote to the file."""
        if self._path.exists():
            await asyncio.to_thread(self._hash_file)

    async def write(self, chunk: bytes) -> None:
        """Add `chunk`."""
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        self.size += len(chunk)
        if self._waiting_bytes >= _BLOCK_BYTES:
            block = self._take_waiting()
            await asyncio.to_thread(self._write, block)

    def pause(self) -> None:
        """Hand everything to the operating system, so that it outlives this process, and close the file."""
        block = self._take_waiting()
        if block or not self._path.exists():
            self._write(block)
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> Content:
        """Return the finished content."""
        key = self.key
        if self._small_contents is not None and self._file is None and self.size <= SMALL_BYTES:
            block = self._take_waiting()
            self._hash(block)
            key = self._small_key = self._small_contents.keep(block)
        else:
            self.pause()
        return Content(
            key=key,
            size=self.size,
            crc32c=base64.b64encode(self._crc32c.digest()).decode(),
            md5=base64.b64encode(self._md5.digest()).decode(),
        )

    def discard(self) -> None:
        """Forget the bytes, also finished ones."""
        if self._small_contents is not None and self._small_key is not None:
            self._small_contents.remove(self._small_key)
        self._waiting.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _take_waiting(self) -> bytes:
        block = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting = []
        self._waiting_bytes = 0
        return block

    def _write(self, block: bytes) -> None:
        if self._file is None:
            self._file = open(self._path, "ab", buffering=0)  # noqa: PTH123, SIM115 - stays open between blocks
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._hash(block)

    def _hash(self, block: bytes) -> None:
        self._md5.update(block)
        self._crc32c.update(block)

    def _hash_file(self) -> None:
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                self._hash(block)
                self.size += len(block)


class SmallContents:
    """The table of small contents.

    Args:
        database: has the table.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, data: bytes) -> str:
        """Keep `data` and return its key."""
        key = _SMALL + uuid4().hex
        self._database.execute("INSERT INTO small_contents (key, data) VALUES (?, ?)", (key, data))
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes of a key."""
        (data,) = self._database.execute("SELECT data FROM small_contents WHERE key = ?", (key,)).fetchone()
        assert isinstance(data, bytes)
        return data

    def remove(self, key: str) -> None:
        """Forget a key."""
        self._database.execute("DELETE FROM small_contents WHERE key = ?", (key,))

    def keys(self) -> list[str]:
        """Return all keys."""
        return [key for (key,) in self._database.execute("SELECT key FROM small_contents").fetchall()]


class ContentFolder:
    """All contents: a folder of files, and a table of small ones.

    Args:
        root: the folder; created when it is not there.
        database: has the table.
    """

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root
        self._small = SmallContents(database)
        for shard in _SHARDS:
            (root / shard).mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / key

    def draft(self) -> Draft:
        """Return a draft for bytes that come in one request."""
        return Draft(self._path(uuid4().hex), self._small)

    def lasting_draft(self, key: str | None = None) -> Draft:
        """Return a draft for bytes that come in many requests: a new one, or one that was begun."""
        return Draft(self._path(key or uuid4().hex))

    def open(self, key: str) -> BinaryIO:
        """Open content; it stays readable when the object is deleted meanwhile."""
        if key.startswith(_SMALL):
            return io.BytesIO(self._small.get(key))
        return open(self._path(key), "rb", buffering=0)  # noqa: PTH123 - the stream that sends it closes it

    def share(self, content: Content) -> Content:
        """Return the same bytes under a key of their own, at once where the file system has links."""
        if content.key.startswith(_SMALL):
            return replace(content, key=self._small.keep(self._small.get(content.key)))
        key = uuid4().hex
        try:
            os.link(self._path(content.key), self._path(key))
        except OSError:
            shutil.copyfile(self._path(content.key), self._path(key))
        return replace(content, key=key)

    def remove(self, keys: Iterable[str]) -> None:
        """Delete the contents of objects that are gone."""
        for key in keys:
            if key.startswith(_SMALL):
                self._small.remove(key)
            else:
                self._path(key).unlink(missing_ok=True)

    def sweep(self, known: set[str]) -> int:
        """Delete contents that belong to nothing, left by a process that was killed; return how many."""
        found = [entry.name for shard in _SHARDS for entry in os.scandir(self._root / shard)]
        stray = [key for key in found + self._small.keys() if key not in known]
        self.remove(stray)
        return len(stray)


async def stream(file: BinaryIO, start: int, size: int) -> AsyncGenerator[bytes, None]:
    """Yield `size` bytes of `file` from `start` on, and close it."""
    with file:
        file.seek(start)
        while size > 0:
            block = file.read(min(size, _READ_BYTES))
            if not block:
                return
            size -= len(block)
            yield block


async def stream_unzipped(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield what a gzip file holds, and close it."""
    gzip_format = 31
    unzip = zlib.decompressobj(wbits=gzip_format)
    with file:
        while block := file.read(_READ_BYTES):
            # At most a few blocks at a time, however well the file is compressed.
            while block:
                piece = unzip.decompress(block, _READ_BYTES)
                block = unzip.unconsumed_tail
                if piece:
                    yield piece
