"""Read the prompt file and write answers and failures, in order and in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gcp.streams import read_object
from genops_events.gemini.kept import KeptRow
from genops_events.gemini.prompts import BadRow, PromptRow, read_rows
from genops_events.gemini.replies import Totals
from genops_events.reading.json_lines import lines_of

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.reading.addresses import Readable

WRITTEN_AT_ONCE_BYTES = 4 * 1024 * 1024
CAUSES_KEPT = 20
CAUSE_CHARACTERS = 300
_NOT_FOUND = 404


class PromptsMissing(PermanentError):
    """The prompt file is missing, or no row of it can be asked."""


@dataclass(slots=True)
class WrittenRows:
    """Figures of the rows in the files of answers and failures."""

    totals: Totals = field(default_factory=Totals)
    causes: Counter[str] = field(default_factory=Counter)
    """Number of rows without an answer by reason; the first 20 reasons."""

    @property
    def most_often(self) -> str:
        """The most frequent reason; empty where nothing failed."""
        return self.causes.most_common(1)[0][0] if self.causes else ""


def rows_of(bucket: Bucket, name: str, *, readable: Readable) -> Iterator[PromptRow | BadRow]:
    """Yield the rows of a prompt file as they are read.

    Raises:
        PromptsMissing: the file does not exist.
    """
    try:
        yield from read_rows(lines_of(read_object(bucket.blob(name))), readable=readable)
    except CloudRefused as error:
        if error.status != _NOT_FOUND:
            raise
        raise _missing(bucket, name) from error


def copy_prompts(bucket: Bucket, name: str, to: str) -> None:
    """Copy the prompt file once: later stages price and answer the copy, so changes to the file have no effect on them.

    Args:
        bucket: of both objects.
        name: of the prompt file.
        to: name of the candidate's copy.

    Raises:
        PromptsMissing: neither of them exists.
    """
    from google.api_core.exceptions import NotFound, PreconditionFailed

    kept = bucket.blob(to)
    with google_call(f"copy gs://{bucket.name}/{name}"):
        try:
            token, *_ = kept.rewrite(bucket.blob(name), if_generation_match=0, timeout=CALL_TIMEOUT_SECONDS)
            while token is not None:
                token, *_ = kept.rewrite(
                    bucket.blob(name), token=token, if_generation_match=0, timeout=CALL_TIMEOUT_SECONDS
                )
        except PreconditionFailed:
            pass  # an earlier try made the copy
        except NotFound as error:
            if not kept.exists(timeout=CALL_TIMEOUT_SECONDS):
                raise _missing(bucket, name) from error


def check_prompts(bucket: Bucket, name: str, *, readable: Readable) -> None:
    """Check that at least one row can be asked, before anything is paid for.

    Raises:
        PromptsMissing: no row can be asked, or the file does not exist.
    """
    bad: list[BadRow] = []
    for row in rows_of(bucket, name, readable=readable):
        if not isinstance(row, BadRow):
            return
        bad = bad or [row]
    raise nothing_to_ask(f"gs://{bucket.name}/{name}", bad[0] if bad else None)


def nothing_to_ask(file: str, first_bad: BadRow | None) -> PromptsMissing:
    """Return the error about a prompt file without a row that can be asked.

    Args:
        file: its address.
        first_bad: its first row, which is bad; None where the file has no rows.
    """
    if first_bad is None:
        return PromptsMissing(f"{file} is empty.", "Write a prompt there; then upload the training file again.")
    return PromptsMissing(
        f"{file} has no row that can be asked. {first_bad.reason}",
        "Fix it there; then upload the training file again.",
    )


def _missing(bucket: Bucket, name: str) -> PromptsMissing:
    return PromptsMissing(
        f"gs://{bucket.name}/{name} is not there, but genops.yaml names it.",
        "Upload the file, or fix its name in genops.yaml; then upload the training file again.",
    )


def write_results(bucket: Bucket, rows: Iterable[KeptRow], *, answers: str, failures: str) -> WrittenRows:
    """Write every row to one of the two files, in order, and return what they hold; repeating it changes nothing.

    Args:
        bucket: of the two objects.
        rows: as they are kept, in the order of the prompt file.
        answers: name of the object for answered rows, with blocked and cut answers.
        failures: name of the object for the other rows; it is not written where nothing failed.
    """
    written = WrittenRows()
    with google_call(f"write gs://{bucket.name}/{answers}"), ExitStack() as stack:
        good = stack.enter_context(object_writer(bucket, answers))
        bad: Any = None
        for _, content in rows:
            row = msgspec.json.decode(content)
            written.totals.add(row)
            if "answer" in row:
                good.write(content + b"\n")
                continue
            if bad is None:
                bad = stack.enter_context(object_writer(bucket, failures))
            bad.write(content + b"\n")
            cause = _cause(row)
            if cause in written.causes or len(written.causes) < CAUSES_KEPT:
                written.causes[cause] += 1
    return written


def object_writer(bucket: Bucket, name: str) -> Any:
    """Return a file that becomes an object when it is closed, in bounded memory; after an error no object is written."""
    return bucket.blob(name).open(
        "wb", chunk_size=WRITTEN_AT_ONCE_BYTES, content_type="application/jsonl", timeout=CALL_TIMEOUT_SECONDS
    )


def _cause(row: dict[str, Any]) -> str:
    """Return the reason without its line, so that the same cause in many rows is counted as one."""
    reason = str(row["reason"]).removeprefix(f"Line {row['line']}: ")
    return reason if len(reason) <= CAUSE_CHARACTERS else reason[:CAUSE_CHARACTERS] + "…"
