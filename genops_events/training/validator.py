"""Check a training file as a stream, before anything is spent, in bounded memory.

    validator = TrainingDataValidator(load_limits("gemini-3.5-flash"), on_problem=quarantine.append)
    for chunk in download:
        validator.feed(chunk)
    report = validator.close()

The report does not depend on how the file is cut into chunks.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from genops_events.catalogue.tuning_models import Method, ModelLimits, UnknownLimitsError, load_limits
from genops_events.reading.json_lines import CR_ONLY, begins_with_cr_lines
from genops_events.reading.json_places import column_of
from genops_events.training.amounts import most_billed, refuse_too_much
from genops_events.training.duplicates import LINES_COMPARED, PAIRS_SHOWN, DuplicateSearch
from genops_events.training.examples import Measure
from genops_events.training.forms import foreign_form
from genops_events.training.methods import MEASURES, meant_for_another
from genops_events.training.reasons import BadExample, Reason
from genops_events.training.report import Figures, Problem, ValidationReport, count, summary, too_few, warnings

__all__ = [
    "InvalidLines",
    "Method",
    "ModelLimits",
    "Problem",
    "Reason",
    "TrainingDataValidator",
    "UnknownLimitsError",
    "ValidationExamples",
    "ValidationReport",
    "load_limits",
    "validate",
    "validate_validation_file",
]

InvalidLines = Literal["reject", "quarantine"]
"""Policy for a file with invalid lines: it is rejected, or tuned on without them if enough lines are valid."""
PROBLEMS_KEPT = 100
"""Most problems in the report."""
PROBLEMS_LISTED = 10_000
"""Most problems of lines that are passed to `on_problem`, and so written to the quarantine."""
MOST_BAD_LINES: Mapping[InvalidLines, int] = {"reject": 1_000, "quarantine": 100_000}
"""Invalid lines after which the file is refused, and further lines are only counted. With `reject`, one is enough to refuse
it, and the others are listed so that all can be corrected at once; with `quarantine`, fewer than this may be left out."""
FOUND_CHARACTERS = 200
MESSAGE_CHARACTERS = 1_000
_HEAD_BYTES = 4 * FOUND_CHARACTERS
"""UTF-8 has at most four bytes for a character."""
_PIECE_BYTES = 256 * 1024
"""Bytes that are split into lines at a time: the lines of a whole chunk would take several times its memory."""
_LONG_LINE_BYTES = 1024 * 1024
_SHARE_FROM, _SHARE = 1000, 0.3


@dataclass(frozen=True, slots=True)
class ValidationExamples:
    """The examples of a validation file, to find them among the training examples."""

    count: int = 0
    lines: Mapping[int, int] = field(default_factory=dict)
    """1-based lines by the identity of their example, which is valid in this process only."""


def validate(
    chunks: Iterable[bytes],
    *,
    limits: ModelLimits,
    on_problem: Callable[[Problem], None] | None = None,
    on_example: Callable[[int, bytes, Measure], None] | None = None,
    invalid_lines: InvalidLines = "reject",
    validation: ValidationExamples | None = None,
    method: Method = "supervised",
) -> ValidationReport:
    """Check a whole file in chunks; stop reading once it is larger than allowed.

    Arguments as those of TrainingDataValidator.
    """
    validator = TrainingDataValidator(
        limits,
        on_problem=on_problem,
        on_example=on_example,
        invalid_lines=invalid_lines,
        validation=validation,
        method=method,
    )
    for chunk in chunks:
        validator.feed(chunk)
        if not validator.wants_more:
            break
    return validator.close()


def validate_validation_file(
    chunks: Iterable[bytes], *, limits: ModelLimits, method: Method = "supervised"
) -> tuple[ValidationReport, ValidationExamples]:
    """Check a validation file, and return its examples, too.

    Args:
        chunks: of the file.
        limits: of the source model, from which those of a validation file follow.
        method: of tuning, which decides the form of a line.
    """
    lines: dict[int, int] = {}

    def remember(line: int, _text: bytes, measure: Measure) -> None:
        if len(lines) < limits.max_validation_examples:  # bounds memory: a file with more is refused
            lines.setdefault(measure.identity, line)

    report = validate(chunks, limits=limits.of_validation_file(), on_example=remember, method=method)
    return report, ValidationExamples(report.examples, lines)


class TrainingDataValidator:
    """Takes a training file chunk by chunk, reports each problem when it is found, and returns the report at the end.

    Memory is bounded: two times `limits.max_line_bytes`, nine bytes for each line, and one chunk.
    Not thread safe.

    Args:
        limits: of the source model.
        on_problem: called with each problem, in the order of the lines, for 10,000 invalid lines at most.
        on_example: called with every valid example: 1-based line, its bytes without surrounding white space, its figures.
        invalid_lines: policy for a file with invalid lines.
        validation: examples to look for in this file.
        method: of tuning, which decides the form of a line.
    """

    def __init__(
        self,
        limits: ModelLimits,
        *,
        on_problem: Callable[[Problem], None] | None = None,
        on_example: Callable[[int, bytes, Measure], None] | None = None,
        invalid_lines: InvalidLines = "reject",
        validation: ValidationExamples | None = None,
        method: Method = "supervised",
    ) -> None:
        self._limits = limits
        self._method = method
        self._measure = MEASURES[method]
        self._on_problem = on_problem
        self._on_example = on_example
        self._quarantines = invalid_lines == "quarantine"
        self._validation = validation or ValidationExamples()
        self._figures = Figures(limits, method)
        self._duplicates = DuplicateSearch()
        self._rest = (
            bytearray()
        )  # the beginning of an unfinished line; of a line that is too long, the first bytes only
        self._rest_bytes = 0
        self._is_foreign = False  # whether the file is not JSONL, or for another method
        self._most_bad_lines = MOST_BAD_LINES[invalid_lines]
        self._is_decided = False  # whether no line can change the result any more, so that lines are only counted

    @property
    def wants_more(self) -> bool:
        """False once the file is larger than allowed: the rest need not be read."""
        return self._figures.size_bytes <= self._limits.max_file_bytes

    def feed(self, chunk: bytes) -> None:
        """Check the lines that end in this chunk."""
        room = max(self._limits.max_file_bytes - self._figures.size_bytes, 0)
        self._figures.size_bytes += len(chunk)
        for start in range(0, min(len(chunk), room), _PIECE_BYTES):
            self._feed_piece(chunk[start : min(start + _PIECE_BYTES, room)])

    def _feed_piece(self, piece: bytes) -> None:
        is_blank = not self._rest_bytes and len(piece) <= self._limits.max_line_bytes and piece.isspace()
        if self._is_decided or is_blank:
            self._count_lines(piece)
            return
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines and self._rest_bytes:
            self._hold(lines[0])
            self._end_line()
            del lines[0]
        take = self._take
        for line in lines:
            take(line, len(line))
        if rest:
            self._hold(rest)

    def _count_lines(self, piece: bytes) -> None:
        """Count lines that are not checked: blank ones, and those after the result is decided."""
        ends = piece.count(b"\n")
        rest = piece[piece.rfind(b"\n") + 1 :] if ends else piece
        self._figures.lines += ends
        if self._is_decided:
            self._rest.clear()
            self._rest_bytes = len(rest) if ends else self._rest_bytes + len(rest)
            return
        self._figures.blank += ends
        if rest:
            self._hold(rest)

    def close(self) -> ValidationReport:
        """Check the last line and the file as a whole, and return the report."""
        figures = self._figures
        if self.wants_more and self._rest_bytes:
            self._end_line()
        if not self._is_decided:
            figures.lines_checked = figures.lines
        on_lines = figures.by_reason.total()
        self._judge_file()
        problems = figures.by_reason.total()
        valid = problems == (on_lines if self._quarantines and not self._is_foreign else 0)
        duplicates = self._duplicates.result()
        figures.size_bytes = min(figures.size_bytes, self._limits.max_file_bytes + 1)
        return ValidationReport(
            valid=valid,
            summary=summary(figures, valid=valid),
            examples=figures.examples,
            lines=figures.lines,
            lines_checked=figures.lines_checked,
            size_bytes=figures.size_bytes,
            tokens_estimate=figures.tokens,
            problems_total=problems,
            quarantined=figures.bad_lines if valid else 0,
            duplicates=duplicates.count,
            leaked=figures.leaked,
            problems_by_reason=dict(figures.by_reason),
            problems=tuple(figures.problems),
            assumed=figures.assumed.sentences(self._limits.max_tokens_per_example),
            warnings=(*warnings(figures, duplicates, lines_compared=LINES_COMPARED), *self._own_warnings()),
        )

    def _hold(self, piece: bytes) -> None:
        self._rest_bytes += len(piece)
        if self._rest_bytes <= self._limits.max_line_bytes:
            self._rest += piece
        else:
            # The line is too long: only its first bytes are kept, to show them.
            self._rest += piece[:_HEAD_BYTES]
            del self._rest[_HEAD_BYTES:]

    def _end_line(self) -> None:
        line, length = bytes(self._rest), self._rest_bytes
        self._rest.clear()
        self._rest_bytes = 0
        self._take(line, length)

    def _take(self, line: bytes, length: int) -> None:
        figures = self._figures
        figures.lines += 1
        if self._is_decided:
            return
        if figures.lines == 1 and line.startswith(codecs.BOM_UTF8):
            figures.has_bom = True
            line = line[len(codecs.BOM_UTF8) :]
        if length > self._limits.max_line_bytes:
            self._take_long(line[:_HEAD_BYTES], length)  # as many bytes as are kept of a line that came in pieces
            return
        if not line or line.isspace():
            figures.blank += 1
            return
        try:
            measure = self._measure(line)
            if measure.tokens > self._limits.max_tokens_per_example or measure.media or measure.files:
                refuse_too_much(line, measure, self._limits)
        except BadExample as bad:
            self._take_bad(line, bad)
            return
        figures.take(measure, most_billed(measure, self._limits, figures.assumed))
        self._duplicates.add(figures.lines, measure.identity)
        if measure.identity in self._validation.lines:
            figures.leaked += 1
            if len(figures.leaks) < PAIRS_SHOWN:
                figures.leaks.append((figures.lines, self._validation.lines[measure.identity]))
        if self._on_example is not None:
            self._on_example(figures.lines, line.strip(), measure)

    def _take_bad(self, line: bytes, bad: BadExample) -> None:
        # Not in `_take`, which has to be fast for valid lines.
        figures = self._figures
        if self._seen == 0 and (looks_like := foreign_form(line, is_json=bad.reason is not Reason.NOT_JSON)):
            self._refuse_form(line, looks_like, bad.column if looks_like is CR_ONLY else None)
            return
        # Not for a long line: it would be read once for each method.
        if self._seen == 0 and len(line) <= _LONG_LINE_BYTES and (other := meant_for_another(line, self._method)):
            # Reported once, and not for each line: further lines are of the same kind.
            self._is_foreign = True
            self._report_line(line, Reason.WRONG_METHOD, other)
            return
        column = bad.column
        if bad.place:
            column = column_of(line, bad.place)
        figures.hidden += bad.more
        self._report_line(line, bad.reason, bad.message, column)

    def _take_long(self, line: bytes, length: int) -> None:
        is_object = line.lstrip().startswith(b"{")
        looks_like = CR_ONLY if begins_with_cr_lines(line) else ""
        if self._seen == 0 and (looks_like or (not is_object and (looks_like := foreign_form(line, is_json=False)))):
            self._refuse_form(line, looks_like)
            return
        message = (
            f"The line has {length:,} bytes, at most {self._limits.max_line_bytes:,} are read; "
            "each example must be on a line of its own."
        )
        self._report_line(line, Reason.LINE_TOO_LONG, message)

    @property
    def _seen(self) -> int:
        """Number of lines so far that are not blank, without the present one."""
        return self._figures.lines - 1 - self._figures.blank

    def _refuse_form(self, line: bytes, looks_like: str, column: int | None = None) -> None:
        self._is_foreign = True
        message = f"This is not JSON Lines: it looks like {looks_like}. Write one JSON object on each line."
        self._report_line(line, Reason.NOT_JSONL, message, column)

    def _judge_file(self) -> None:
        limits, figures = self._limits, self._figures
        present = figures.examples + figures.bad_lines + figures.hidden
        # With `quarantine`, the limits apply to the valid lines, which are tuned on.
        counted = figures.examples if self._quarantines else present
        holds = f"{limits.model} is tuned on"
        if limits.for_validation:
            holds = f"a validation file of {limits.model} holds"
        if not self.wants_more:
            message = f"More than {limits.max_file_bytes:,} bytes. Split the file, or leave examples out."
            self._report(Reason.FILE_TOO_LARGE, message)
        elif figures.size_bytes == 0:
            message = "The file has 0 bytes: a folder placeholder, or an upload that was cut. Upload it again."
            self._report(Reason.EMPTY_FILE, message)
        elif present == 0:
            message = f"The file holds {count(figures.lines, 'blank line')} and nothing else."
            self._report(Reason.EMPTY_FILE, message)
        elif not self._is_decided and counted < limits.min_examples:
            self._report(Reason.TOO_FEW_EXAMPLES, too_few(figures, holds))
        elif not self._is_foreign and self._is_decided and self._quarantines:
            message = (
                f"At least {figures.bad_lines:,} invalid lines among the first {figures.lines_checked:,}; with "
                f"`invalid_lines: quarantine`, a file with {self._most_bad_lines:,} or more is refused. Fix them."
            )
            self._report(Reason.TOO_MANY_BAD_LINES, message)
        if not self._is_foreign and counted > limits.max_examples:
            message = f"{counted:,} examples; {holds} at most {limits.max_examples:,}."
            self._report(Reason.TOO_MANY_EXAMPLES, message)
        if figures.media_examples > limits.max_media_examples:
            message = (
                f"{figures.media_examples:,} examples with files or inline data; {holds} at most "
                f"{limits.max_media_examples:,} of them."
            )
            self._report(Reason.TOO_MANY_MEDIA_EXAMPLES, message)

    def _own_warnings(self) -> Iterator[str]:
        validation, examples = self._validation.count, self._figures.examples
        if validation > _SHARE_FROM and validation > _SHARE * examples:
            yield (
                f"The validation file has {validation:,} examples, more than {_SHARE:.0%} of the {examples:,} training "
                f"examples: Vertex AI may refuse that, above {_SHARE_FROM:,}."
            )
        if self._figures.bad_lines > PROBLEMS_LISTED:
            yield f"Only the first {PROBLEMS_LISTED:,} of {self._figures.bad_lines:,} invalid lines are listed."

    def _report_line(self, read: bytes, reason: Reason, message: str, column: int | None = None) -> None:
        figures = self._figures
        figures.bad_lines += 1
        figures.lines_checked = figures.lines
        self._is_decided = self._is_foreign or figures.bad_lines >= self._most_bad_lines
        message = message if len(message) <= MESSAGE_CHARACTERS else message[:MESSAGE_CHARACTERS] + "…"
        found = read[:_HEAD_BYTES].decode("utf-8", errors="replace").strip()[:FOUND_CHARACTERS]
        self._hand_out(Problem(self._figures.lines, column, reason, message, found))

    def _report(self, reason: Reason, message: str) -> None:
        self._hand_out(Problem(None, None, reason, message, ""))

    def _hand_out(self, problem: Problem) -> None:
        self._figures.by_reason[problem.reason.value] += 1
        if len(self._figures.problems) < PROBLEMS_KEPT:
            self._figures.problems.append(problem)
        if self._on_problem is not None and (problem.line is None or self._figures.bad_lines <= PROBLEMS_LISTED):
            self._on_problem(problem)
