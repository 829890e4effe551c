"""Check a training file while it streams past, before anything is spent: constant memory, whatever the file.

    validator = TrainingDataValidator(load_limits("gemini-2.5-flash"), on_problem=quarantine.append)
    for chunk in download:
        validator.feed(chunk)
    report = validator.close()

How the file is cut into chunks never changes the report.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from genops_events.errors import PermanentError
from genops_events.training_examples import BadExample, Reason, measure_example

__all__ = [
    "ModelLimits",
    "Problem",
    "Reason",
    "TrainingDataValidator",
    "ValidationReport",
    "load_limits",
    "validate",
]

PROBLEMS_KEPT = 100
"""So many problems are in the report; every one is given to `on_problem`."""
FOUND_CHARACTERS = 200
_HEAD_BYTES = 4 * FOUND_CHARACTERS
"""UTF-8 has at most four bytes for a character."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What Vertex AI accepts as training file of one source model; data/models.yaml has the sources."""

    model: str
    min_examples: int
    max_examples: int
    max_file_bytes: int
    max_tokens_per_example: int
    max_validation_examples: int
    max_line_bytes: int
    adapter_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why the file cannot be tuned on."""

    line: int | None
    """1-based; None where the file as a whole is the problem."""
    column: int | None
    """1-based byte of the line, where one is to blame."""
    reason: Reason
    message: str
    found: str
    """What was read, cut at 200 characters."""

    def to_json_line(self) -> bytes:
        """Return this problem as one line of quarantine.jsonl, with its line end."""
        return msgspec.json.encode(self) + b"\n"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What a training file holds, and whether it may be tuned on."""

    valid: bool
    """True only without a single problem: part of a file is never tuned on silently."""
    summary: str
    """One or two sentences: what was found, and what to do."""
    examples: int
    """Valid examples."""
    lines: int
    size_bytes: int
    """What was read; of a file that is too large, one byte more than is allowed."""
    tokens_estimate: int
    """Of the valid examples, for one epoch; a quarter of the characters of each text, rounded up."""
    problems_total: int
    problems_by_reason: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    """The first 100."""
    warnings: tuple[str, ...] = ()


class UnknownLimitsError(PermanentError):
    """data/models.yaml has no row for this model."""


def load_limits(model: str) -> ModelLimits:
    """Return the limits of a published model; raise UnknownLimitsError that names the known models."""
    table = _limits_table()
    if (limits := table.get(model)) is None:
        raise UnknownLimitsError(
            f"The limits of the model {model!r} are not known.", f"Known models: {', '.join(sorted(table))}."
        )
    return limits


@cache
def _limits_table() -> dict[str, ModelLimits]:
    text = files("genops_events").joinpath("data", "models.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.safe_load(text)["models"]
    return {model: msgspec.convert({"model": model, **row}, ModelLimits) for model, row in rows.items()}


def validate(
    chunks: Iterable[bytes], *, limits: ModelLimits, on_problem: Callable[[Problem], None] | None = None
) -> ValidationReport:
    """Check a whole file that comes in chunks; stop reading once it is larger than allowed."""
    validator = TrainingDataValidator(limits, on_problem=on_problem)
    for chunk in chunks:
        validator.feed(chunk)
        if not validator.wants_more:
            break
    return validator.close()


class TrainingDataValidator:
    """Take a training file chunk by chunk, hand out each problem as it is found, and judge at the end.

    Memory is bounded by `limits.max_line_bytes` and the size of a chunk. Not thread safe.
    """

    def __init__(self, limits: ModelLimits, *, on_problem: Callable[[Problem], None] | None = None) -> None:
        self._limits = limits
        self._on_problem = on_problem
        self._rest = bytearray()  # the line that has not ended yet, or its head once it is too long
        self._rest_bytes = 0
        self._size = 0
        self._lines = 0
        self._blank = 0
        self._media = 0
        self._examples = 0
        self._tokens = 0
        self._bom = False
        self._foreign = False  # not JSONL at all: lines are only counted from there on
        self._problems: list[Problem] = []
        self._by_reason: Counter[str] = Counter()

    @property
    def wants_more(self) -> bool:
        """False once the file is larger than allowed: the rest is not looked at and need not be read."""
        return self._size <= self._limits.max_file_bytes

    def feed(self, chunk: bytes) -> None:
        """Check the lines that end in this chunk."""
        room = self._limits.max_file_bytes - self._size
        self._size += len(chunk)
        if len(chunk) > room:
            chunk = chunk[: max(room, 0)]
        start = 0
        while (end := chunk.find(b"\n", start)) != -1:
            if self._rest_bytes:
                self._hold(chunk[start:end])
                self._end_line()
            else:
                self._take(chunk[start:end], end - start)
            start = end + 1
        if start < len(chunk):
            self._hold(chunk[start:])

    def close(self) -> ValidationReport:
        """Check the last line and the file as a whole, and return the report."""
        if self.wants_more and self._rest_bytes:
            self._end_line()
        self._judge_file()
        problems = self._by_reason.total()
        return ValidationReport(
            valid=problems == 0,
            summary=self._summary(problems),
            examples=self._examples,
            lines=self._lines,
            size_bytes=min(self._size, self._limits.max_file_bytes + 1),
            tokens_estimate=self._tokens,
            problems_total=problems,
            problems_by_reason=dict(self._by_reason),
            problems=tuple(self._problems),
            warnings=self._warnings(),
        )

    def _hold(self, piece: bytes) -> None:
        self._rest_bytes += len(piece)
        if self._rest_bytes <= self._limits.max_line_bytes:
            self._rest += piece
        else:
            # Too long to be kept: the head is enough to show what it is.
            self._rest += piece[:_HEAD_BYTES]
            del self._rest[_HEAD_BYTES:]

    def _end_line(self) -> None:
        line, length = bytes(self._rest), self._rest_bytes
        self._rest.clear()
        self._rest_bytes = 0
        self._take(line, length)

    def _take(self, line: bytes, length: int) -> None:
        self._lines += 1
        if length > self._limits.max_line_bytes:
            line = line[:_HEAD_BYTES]  # all that is kept of it where it came in pieces
        if self._lines == 1 and line.startswith(codecs.BOM_UTF8):
            self._bom = True
            line = line[len(codecs.BOM_UTF8) :]
        if self._foreign:
            return
        if length > self._limits.max_line_bytes:
            self._take_long(line, length)
            return
        try:
            measure = measure_example(line)
        except BadExample as bad:
            self._take_bad(line, bad)
            return
        if measure.tokens > self._limits.max_tokens_per_example:
            self._report(
                self._lines,
                None,
                Reason.TOO_MANY_TOKENS,
                f"About {measure.tokens:,} tokens; {self._limits.model} is tuned on at most "
                f"{self._limits.max_tokens_per_example:,} in one example. Shorten or split it.",
                line,
            )
            return
        self._examples += 1
        self._tokens += measure.tokens
        self._media += measure.has_media

    def _take_bad(self, line: bytes, bad: BadExample) -> None:
        # Most lines are good: what a bad one is, is looked at only here.
        if not line.strip():
            self._blank += 1
        elif self._seen == 0 and (looks_like := _foreign_form(line, bad.reason)):
            self._refuse_form(line, looks_like)
        else:
            self._report(self._lines, bad.column, bad.reason, bad.message, line)

    def _take_long(self, line: bytes, length: int) -> None:
        is_object = line.lstrip().startswith(b"{")
        if self._seen == 0 and not is_object and (looks_like := _foreign_form(line, Reason.NOT_JSON)):
            self._refuse_form(line, looks_like)
            return
        self._report(
            self._lines,
            None,
            Reason.LINE_TOO_LONG,
            f"The line has {length:,} bytes, at most {self._limits.max_line_bytes:,} are read; "
            "each example must be on a line of its own.",
            line,
        )

    @property
    def _seen(self) -> int:
        """Lines so far that are not blank, without the one that is being looked at."""
        return self._lines - 1 - self._blank

    def _refuse_form(self, line: bytes, looks_like: str) -> None:
        self._foreign = True
        self._report(
            self._lines,
            None,
            Reason.NOT_JSONL,
            f"This is not JSON Lines: it looks like {looks_like}. Write one JSON object on each line.",
            line,
        )

    def _judge_file(self) -> None:
        limits, present = self._limits, self._lines - self._blank
        if not self.wants_more:
            message = f"More than {limits.max_file_bytes:,} bytes. Split the file, or leave examples out."
            self._report(None, None, Reason.FILE_TOO_LARGE, message)
        elif self._size == 0:
            message = "The file has 0 bytes: a folder placeholder, or an upload that was cut. Upload it again."
            self._report(None, None, Reason.EMPTY_FILE, message)
        elif present == 0:
            self._report(None, None, Reason.EMPTY_FILE, f"The file holds {self._lines:,} blank lines and nothing else.")
        elif not self._foreign and present < limits.min_examples:
            message = f"{present} examples; {limits.model} is tuned on at least {limits.min_examples}. Add examples."
            self._report(None, None, Reason.TOO_FEW_EXAMPLES, message)
        if not self._foreign and present > limits.max_examples:
            message = f"{present:,} examples; {limits.model} is tuned on at most {limits.max_examples:,}."
            self._report(None, None, Reason.TOO_MANY_EXAMPLES, message)

    def _report(self, line: int | None, column: int | None, reason: Reason, message: str, read: bytes = b"") -> None:
        found = read[:_HEAD_BYTES].decode("utf-8", errors="replace").strip()[:FOUND_CHARACTERS]
        problem = Problem(line, column, reason, message, found)
        self._by_reason[reason.value] += 1
        if len(self._problems) < PROBLEMS_KEPT:
            self._problems.append(problem)
        if self._on_problem is not None:
            self._on_problem(problem)

    def _warnings(self) -> tuple[str, ...]:
        warnings = []
        if self._bom:
            warnings.append("The file begins with a byte order mark, which is skipped; save it as UTF-8 without one.")
        if self._blank:
            warnings.append(f"{_count(self._blank, 'blank line')} skipped.")
        if self._media:
            warnings.append(
                f"{_count(self._media, 'example')} with files or inline data, whose tokens are not in the estimate: "
                "tuning will cost more."
            )
        return tuple(warnings)

    def _summary(self, problems: int) -> str:
        if problems == 0:
            return (
                f"{_count(self._examples, 'example')}, about {self._tokens:,} tokens in {self._size:,} bytes: "
                f"ready to tune {self._limits.model}."
            )
        first = self._problems[0]
        if problems == 1:
            where = f"Line {first.line}: " if first.line is not None else ""
            return f"The file cannot be tuned on. {where}{first.message}"
        counts = ", ".join(f"{reason} {count:,}" for reason, count in self._by_reason.most_common())
        place = f" (line {first.line})" if first.line is not None else ""
        return (
            f"The file cannot be tuned on: {problems:,} problems ({counts}) beside "
            f"{_count(self._examples, 'good example')}. The first{place}: {first.message} "
            "Mend them all and upload the file again."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"%PDF", "a PDF document"),
    (codecs.BOM_UTF16_LE, "text in UTF-16 (save it as UTF-8)"),
    (codecs.BOM_UTF16_BE, "text in UTF-16 (save it as UTF-8)"),
)
_SEPARATORS = ((b"\t", "tab-separated values"), (b",", "CSV"), (b";", "CSV"))


def _foreign_form(line: bytes, reason: Reason) -> str:
    """Say what kind of file begins with this line, where it is no JSON Lines file at all; else an empty text."""
    text = line.strip()
    form = next((name for signature, name in _SIGNATURES if line.startswith(signature)), "")
    if not form and b"\0" in text:
        form = "a binary file"
    elif not form and text.startswith(b"["):
        form = "one JSON array"
    elif not form and text and reason is Reason.NOT_JSON:
        form = _foreign_text(text)
    return form


def _foreign_text(text: bytes) -> str:
    if text.startswith(b"{"):
        # `{` or `{"contents": [` alone on a line: an object that goes on over the next lines.
        return "JSON that is spread over several lines" if text.endswith((b"{", b"[", b",")) else ""
    if text.startswith(b"<"):
        return "XML or HTML"
    return next((name for separator, name in _SEPARATORS if separator in text), "plain text")
