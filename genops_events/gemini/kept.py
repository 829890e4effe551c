"""Rows that are done, answered or failed: kept as they come, in parts that can be read back in order in bounded memory."""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from genops_events.gcp.at_once import CONNECTIONS, at_once
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

    from genops_events.gemini.prompts import BadRow, PromptRow

KeptRow = tuple[int, bytes]
"""Number of a row of the prompt file, and what is kept of it: a JSON object with this `number`."""


class _Number(msgspec.Struct):
    number: int


_number = msgspec.json.Decoder(_Number).decode


class KeptRows:
    """Keeps rows in a bucket; each part is an object that is written once.

    A part is named after the lowest row in it. Rows are asked in their order, and none of them far ahead of the oldest
    that is not done: so parts in the order of their names are rows nearly in order, whichever process wrote them.

    Args:
        bucket: where to.
        prefix: of the parts' names; ends with `/`.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._writer = uuid.uuid4().hex
        self._parts = 0

    def write(self, rows: Sequence[KeptRow]) -> None:
        """Keep some rows as one part; blocks until they are in the bucket.

        Raises:
            CloudUnavailable: it is not known whether they are; writing them again does no harm.
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
                return  # an earlier try of this very call came through though its answer was lost

    def in_order(self) -> Iterator[KeptRow]:
        """Yield every row that is kept, each once, in the order of the prompt file."""
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
        """List the parts page by page: all names of a long run would not be bounded."""
        with google_call(f"list gs://{self._bucket.name}/{self._prefix}"):
            yield from self._bucket.list_blobs(prefix=self._prefix, timeout=CALL_TIMEOUT_SECONDS)


def pending(
    rows: Iterable[PromptRow | BadRow], kept: Iterator[KeptRow], on_kept: Callable[[bytes], None]
) -> Iterator[PromptRow | BadRow]:
    """Yield the rows that nothing is kept of; both come in the order of their numbers.

    Args:
        rows: of the prompt file.
        kept: from `KeptRows.in_order`.
        on_kept: gets what is kept of each of the others.
    """
    done = next(kept, None)
    for row in rows:
        while done is not None and done[0] < row.number:
            done = next(kept, None)
        if done is not None and done[0] == row.number:
            on_kept(done[1])
        else:
            yield row
