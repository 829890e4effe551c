"""Copy the prompts of a run into the record once: the copy is priced and asked, so changes to the file have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genops_events.asking.form import AskForm, WrongForm
from genops_events.errors import GenopsError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gemini.prompts import BadRow, PromptRow, read_rows
from genops_events.gemini.results import PromptsMissing, rows_of
from genops_events.reading.json_lines import lines_of

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

    from genops_events.reading.addresses import Readable

_CHUNK_BYTES = 1024 * 1024


def put_prompts(bucket: Bucket, question: AskForm, name: str, content: Path | None) -> None:
    """Copy the prompts as they are now; nothing is done if an earlier try of the run has made the copy.

    Args:
        bucket: of the record.
        question: the form.
        name: of the copy.
        content: path of the file of prompts, if it is not in a bucket.

    Raises:
        WrongForm: the file is missing, or may not be read.
    """
    from google.api_core.exceptions import Forbidden, NotFound, PreconditionFailed

    copy = bucket.blob(name)
    given: dict[str, Any] = {"if_generation_match": 0, "timeout": CALL_TIMEOUT_SECONDS}
    with google_call(f"write gs://{bucket.name}/{name}"):
        try:
            if question.row is not None:
                copy.upload_from_string(question.row, content_type="application/jsonl", **given)
            elif content is not None:
                copy.upload_from_filename(str(content), content_type="application/jsonl", **given)
            else:
                _copy(_source(bucket, question), copy)
        except PreconditionFailed:
            return
        except (NotFound, Forbidden) as error:
            if copy.exists(timeout=CALL_TIMEOUT_SECONDS):
                return
            why = "is not there" if isinstance(error, NotFound) else f"may not be read: {error.message}"
            raise _unreadable(question, why) from error
        except OSError as error:
            raise _unreadable(question, f"cannot be read: {error.strerror}") from error


def remove_prompts(bucket: Bucket, name: str) -> None:
    """Remove the copy of a run that is not carried out; a copy that cannot be removed does no harm."""
    with suppress(GenopsError), google_call(f"remove gs://{bucket.name}/{name}"):
        bucket.blob(name).delete(timeout=CALL_TIMEOUT_SECONDS)


def rows_in_place(
    bucket: Bucket, question: AskForm, content: Path | None, *, readable: Readable
) -> Iterator[PromptRow | BadRow]:
    """Yield the rows of the prompts from their place; nothing is copied.

    Raises:
        WrongForm: the file is missing, or cannot be read.
    """
    try:
        if question.row is not None:
            yield from read_rows([question.row], readable=readable)
        elif content is not None:
            with content.open("rb") as opened:
                yield from read_rows(lines_of(iter(lambda: opened.read(_CHUNK_BYTES), b"")), readable=readable)
        else:
            source = _source(bucket, question)
            yield from rows_of(source.bucket, source.name, readable=readable)
    except PromptsMissing as error:
        raise _unreadable(question, "is not there") from error
    except OSError as error:
        raise _unreadable(question, f"cannot be read: {error.strerror}") from error


def _unreadable(question: AskForm, why: str) -> WrongForm:
    return WrongForm(f"{question.names.file}: {question.file} {why}.", "Nothing was asked.")


def _source(bucket: Bucket, question: AskForm) -> Blob:
    file = question.file or ""
    place, _, name = file.removeprefix("gs://").partition("/") if file.startswith("gs://") else (bucket.name, "", file)
    return bucket.client.bucket(place).blob(name)


def _copy(source: Blob, to: Blob) -> None:
    token: str | None = None
    while True:
        token, *_ = to.rewrite(source, token=token, if_generation_match=0, timeout=CALL_TIMEOUT_SECONDS)
        if token is None:
            return
