"""Read evaluation examples from JSON Lines; an error names the line and the reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from genops_events.catalogue.metrics import TOOL_METRICS
from genops_events.errors import PermanentError
from genops_events.gcp.errors import CloudRefused
from genops_events.gcp.streams import read_object
from genops_events.reading.json_lines import MOST_LINE_BYTES, RowNames, given, lines_of, name_of
from genops_events.reading.json_objects import SaidTwice, WrongJson, read_json
from genops_events.training.forms import foreign_form
from genops_events.training.reasons import shown

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

FOUND_CHARACTERS = 200
_NOT_FOUND = 404
MOST_FILE_BYTES = 100_000_000
"""Largest evaluation file in bytes: the whole file is held in memory, and each of its rows is asked and judged."""


class EvaluationDataError(PermanentError):
    """A file of evaluation examples cannot be used; `line` is 1-based, None for the whole file."""

    def __init__(self, message: str, hint: str = "", line: int | None = None) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, line)
        self.line = line


@dataclass(frozen=True, slots=True)
class EvaluationExample:
    """A prompt and the answer that it should get."""

    prompt: str
    reference: str | None = None
    """None only where no metric needs it."""
    id: str | None = None
    line: int = field(default=0, compare=False)
    """1-based line of the file."""

    @property
    def name(self) -> str:
        """Name of the row in the record: its id, or else its line."""
        return self.id or f"line-{self.line}"


def read_evaluation_examples(
    lines: Iterable[str], *, needs_reference: Sequence[str] = ("evaluation",)
) -> Iterator[EvaluationExample]:
    """Yield the examples of a file of {"prompt", "reference"} lines, with an optional `id`; blank lines are skipped.

    Args:
        lines: of the file.
        needs_reference: names of the metrics that need a reference: if there are any, a line without one is wrong.

    Raises:
        EvaluationDataError: at the first wrong line, and at the end of a file without examples.
    """
    number = 0
    tools = [name for name in needs_reference if name in TOOL_METRICS]
    names = RowNames()
    for number, value in _objects(lines, '{"prompt": …, "reference": …}'):
        _refuse_other_keys(number, value, ("prompt", "reference", "id"))
        prompt = _text(number, value, "prompt")
        if "reference" not in value and needs_reference:
            raise _wrong(number, f"the key `reference` is missing, which {' and '.join(needs_reference)} needs", value)
        reference = _text(number, value, "reference") if "reference" in value else None
        if tools and reference is not None and not _is_tool_call(reference):
            form = '{"content": "", "tool_calls": [{"name": …, "arguments": {…}}]}'
            raise _wrong(number, f"`reference` must be a tool call, which {tools[0]} needs: the text of {form}", value)
        name = _text(number, value, "id") if "id" in value else None
        if (why := names.refusal(number, None if name == name_of(number) else name)) is not None:
            raise _wrong(number, why, value)
        yield EvaluationExample(prompt, reference, name, number)
    if number == 0:
        raise EvaluationDataError(
            "The evaluation file holds no example.", 'Write lines such as {"prompt": …, "reference": …}.'
        )


def lines_of_file(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of an evaluation file, in bounded memory.

    Args:
        chunks: the file's bytes, in pieces of any size.

    Raises:
        EvaluationDataError: the file has more than MOST_FILE_BYTES, is not UTF-8, or has a line over 20 MiB.
    """
    for number, line in enumerate(lines_of(_bounded(chunks)), start=1):
        if isinstance(line, int):
            raise EvaluationDataError(
                f"Line {number} has {line:,} bytes, and Vertex AI takes requests of at most {MOST_LINE_BYTES:,}.",
                "Write each example on a line of its own.",
                number,
            )
        if number == 1 and (form := foreign_form(line, is_json=True)):
            raise EvaluationDataError(
                f"The file is {form}.", 'Write JSON Lines such as {"prompt": …, "reference": …}, not compressed.'
            )
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise EvaluationDataError(
                f"Line {number} is not UTF-8 (byte {error.start + 1}).", "Save the file as UTF-8.", number
            ) from error


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MOST_FILE_BYTES:
            raise EvaluationDataError(
                f"The file has more than {MOST_FILE_BYTES:,} bytes, the most that an evaluation reads.", "Split it."
            )
        yield chunk


def _is_tool_call(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError
        return False
    return isinstance(value, dict) and isinstance(value.get("tool_calls"), list)


def _objects(lines: Iterable[str], form: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if not text.strip():
            continue
        try:
            value = read_json(text)
        except SaidTwice as error:
            raise _wrong(number, error.message, text.strip()) from None
        except WrongJson as error:
            raise _wrong(number, f"{error.message}; each line must read {form}", text.strip()) from None
        if not isinstance(value, dict):
            raise _wrong(number, f"it is not a JSON object; each line must read {form}", value)
        yield number, given(value)


def _text(number: int, value: dict[str, Any], key: str) -> str:
    if key not in value:
        raise _wrong(number, f"the key `{key}` is missing", value)
    text = value[key]
    if not isinstance(text, str) or not text.strip():
        raise _wrong(number, f"`{key}` must be a text that is not empty", value)
    return text


def _refuse_other_keys(number: int, value: dict[str, Any], known: tuple[str, ...]) -> None:
    if others := [key for key in value if key not in known]:
        raise _wrong(
            number,
            f"the key {shown(others[0], '`')} is not known, allowed are {', '.join(known[:-1])} and {known[-1]}",
            value,
        )


def _wrong(number: int, what: str, found: Any) -> EvaluationDataError:
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    if len(text) > FOUND_CHARACTERS:
        text = text[:FOUND_CHARACTERS] + "…"
    return EvaluationDataError(f"Line {number}: {what}.", f"Found: {text}", number)


ItemT = TypeVar("ItemT")


class InputMissing(PermanentError):
    """A file that genops.yaml names is missing from the bucket, or empty."""


def evaluation_examples(bucket: Bucket, name: str, *, needs_reference: Sequence[str]) -> list[EvaluationExample]:
    """Return the evaluation examples in the object `name`: at least one, each with a reference if a metric needs it."""
    try:
        examples = list(read_evaluation_examples(_lines(bucket, name), needs_reference=needs_reference))
    except EvaluationDataError as error:
        # The text of the line is left out: it must not get into Airflow's logs, a verdict or an event.
        raise EvaluationDataError(error.message, f"Look at gs://{bucket.name}/{name}.", error.line) from None
    return _some(examples, bucket, name)


def _some(items: list[ItemT], bucket: Bucket, name: str) -> list[ItemT]:
    if not items:
        raise InputMissing(f"gs://{bucket.name}/{name} is empty.", "Upload a JSONL file with at least one line there.")
    return items


def _lines(bucket: Bucket, name: str) -> Iterator[str]:
    content = read_object(bucket.blob(name), most_bytes=MOST_FILE_BYTES)
    try:
        yield from lines_of_file(content)
    except CloudRefused as error:
        if error.status != _NOT_FOUND:
            raise
        raise InputMissing(
            f"gs://{bucket.name}/{name} is not there, but genops.yaml names it.",
            "Upload the file, or fix its name in genops.yaml; then upload the training file again.",
        ) from error
