"""Keep finished rows in the bucket while a run goes on, in parts that can be read back in order in bounded memory."""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from genops_events.errors import GenopsError
from genops_events.gcp.at_once import CONNECTIONS, at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.gcp.streams import read_whole

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

    from genops_events.gemini.prompts import BadRow, PromptRow

PART_SECONDS = 0.25
"""Seconds between two parts, unless there are `PART_ROWS` sooner: a process that is killed loses that much work."""
PART_ROWS = 256
WRITE_TRIES = 10

KeptRow = tuple[int, bytes]
"""Number of a row of the prompt file, and its result: a JSON object with this `number`."""


class _Number(msgspec.Struct):
    number: int


_number = msgspec.json.Decoder(_Number).decode


class KeptRows:
    """Keeps rows in a bucket; each part is an object that is written once.

    A part is named after the lowest row in it. Rows are asked in their order, and none far ahead of the oldest unfinished
    one. So parts in the order of their names have the rows nearly in order, no matter which process wrote them.

    Args:
        bucket: of the parts.
        prefix: of the parts' names; ends with `/`.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._writer = uuid.uuid4().hex
        self._parts = 0

    def write(self, rows: Sequence[KeptRow]) -> None:
        """Write some rows as one part; blocks until they are in the bucket.

        Raises:
            CloudUnavailable: it is not known whether they were written; writing them again does no harm.
        """
        from google.api_core.exceptions import PreconditionFailed

        ordered = sorted(rows)
        name = f"{self._prefix}{ordered[0][0]:012}-{self._writer}-{self._parts}.jsonl"
        self._parts += 1
        with google_call(f"write gs://{self._bucket.name}/{name}"):
            try:
                self._bucket.blob(name).upload_from_string(
                    b"".join(content + b"\n" for _, content in ordered),
                    content_type="application/jsonl",
                    if_generation_match=0,
                    timeout=CALL_TIMEOUT_SECONDS,
                )
            except PreconditionFailed:
                return  # an earlier try of this call was carried out, and its answer was lost

    def in_order(self) -> Iterator[KeptRow]:
        """Yield every kept row once, in the order of the prompt file."""
        waiting: list[KeptRow] = []
        last = -1
        for lowest, rows in self._read_parts():
            while waiting and waiting[0][0] < lowest:
                row = heapq.heappop(waiting)
                if row[0] > last:
                    yield row
                    last = row[0]
            for row in rows:
                heapq.heappush(waiting, row)
        while waiting:
            row = heapq.heappop(waiting)
            if row[0] > last:
                yield row
                last = row[0]

    def _read_parts(self) -> Iterator[tuple[int, list[KeptRow]]]:
        def rows(blob: Blob) -> tuple[int, list[KeptRow]]:
            with google_call(f"read gs://{self._bucket.name}/{blob.name}"):
                content = read_whole(blob)
            found = [(_number(line).number, line) for line in content.split(b"\n") if line]
            return found[0][0], found

        blobs = iter(self._blobs())
        while some := list(islice(blobs, CONNECTIONS)):
            yield from at_once(rows, some)

    def _blobs(self) -> Iterator[Blob]:
        """List the parts page by page: the names of all parts of a long run would take unbounded memory."""
        with google_call(f"list gs://{self._bucket.name}/{self._prefix}"):
            yield from self._bucket.list_blobs(prefix=self._prefix, timeout=CALL_TIMEOUT_SECONDS)


class RowWriter:
    """Writes finished rows in the background, a part every quarter of a second.

    async with RowWriter(rows, on_failure=stop) as writer:
        writer.put(0, b'{"number": 0}')

    Leaving the block writes the rest; after an error, too, since those rows are paid for, but then with one try.

    Args:
        rows: where they are written.
        on_kept: called with the numbers of the rows that are in the bucket now.
        on_failure: called with the error once writing is given up.
    """

    def __init__(
        self,
        rows: KeptRows,
        *,
        on_kept: Callable[[Iterable[int]], None] = lambda _: None,
        on_failure: Callable[[GenopsError], None],
    ) -> None:
        self._rows = rows
        self._on_kept = on_kept
        self._on_failure = on_failure
        self._done: list[KeptRow] = []
        self._part_is_full = asyncio.Event()
        self._has_ended = False
        self._keeping: asyncio.Task[None] | None = None

    def put(self, number: int, content: bytes) -> None:
        """Take a row; it is written with the next part."""
        self._done.append((number, content))
        if len(self._done) >= PART_ROWS:
            self._part_is_full.set()

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        try:
            if error is None:
                self._has_ended = True
                self._part_is_full.set()
                await self._keeping
            else:
                self._keeping.cancel()
                await asyncio.wait([self._keeping])
        finally:
            with suppress(GenopsError):
                self._write(self._done)

    async def _keep_on(self) -> None:
        """Write part after part; give up after `WRITE_TRIES` failures in a row, or an error that cannot pass."""
        failures = 0
        while True:
            is_last = self._has_ended
            rows, self._done = self._done, []
            try:
                await asyncio.to_thread(self._write, rows)
                failures = 0
            except GenopsError as error:
                self._done = rows + self._done
                failures += 1
                if failures == WRITE_TRIES or not isinstance(error, CloudUnavailable):
                    self._on_failure(error)
                    return
                is_last = False
            except BaseException:
                self._done = rows + self._done
                raise
            else:
                self._on_kept(number for number, _ in rows)
            if is_last:
                return
            self._part_is_full.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._has_ended and not failures else PART_SECONDS):
                    await self._part_is_full.wait()

    def _write(self, rows: list[KeptRow]) -> None:
        if rows:
            self._rows.write(rows)


def pending(
    rows: Iterable[PromptRow | BadRow], kept: Iterator[KeptRow], on_kept: Callable[[bytes], None]
) -> Iterator[PromptRow | BadRow]:
    """Yield the rows that have no kept result; both arguments are in the order of the rows' numbers.

    Args:
        rows: of the prompt file.
        kept: from `KeptRows.in_order`.
        on_kept: called with the kept result of each of the other rows.
    """
    done = next(kept, None)
    for row in rows:
        while done is not None and done[0] < row.number:
            done = next(kept, None)
        if done is not None and done[0] == row.number:
            on_kept(done[1])
        else:
            yield row
