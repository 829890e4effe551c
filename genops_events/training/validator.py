"""Check a training file while it streams past, before anything is spent: bounded memory, whatever the file.

    validator = TrainingDataValidator(load_limits("gemini-3.5-flash"), on_problem=quarantine.append)
    for chunk in download:
        validator.feed(chunk)
    report = validator.close()

How the file is cut into chunks never changes the report.
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
"""What becomes of a file with invalid lines: rejected, or tuned on without them if enough remain."""
PROBLEMS_KEPT = 100
"""So many problems are in the report."""
PROBLEMS_LISTED = 10_000
"""So many problems of lines are given to `on_problem`, and so into the quarantine."""
MOST_BAD_LINES: Mapping[InvalidLines, int] = {"reject": 1_000, "quarantine": 100_000}
"""After so many invalid lines the file is refused, whatever follows, and lines are only counted from there on. With
`reject`, one is enough, and the others are for whoever mends them; with `quarantine`, so many may be left out."""
FOUND_CHARACTERS = 200
MESSAGE_CHARACTERS = 1_000
_HEAD_BYTES = 4 * FOUND_CHARACTERS
"""UTF-8 has at most four bytes for a character."""
_PIECE_BYTES = 256 * 1024
"""So much is split into lines at a time: the lines of a whole chunk would take several times its memory."""
_LONG_LINE_BYTES = 1024 * 1024
_SHARE_FROM, _SHARE = 1000, 0.3


@dataclass(frozen=True, slots=True)
class ValidationExamples:
    """The examples of a validation file, to be looked for among the training examples."""

    count: int = 0
    lines: Mapping[int, int] = field(default_factory=dict)
    """Identity of an example, which holds in this process only, and its 1-based line."""


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
    """Check a whole file that comes in chunks; stop reading once it is larger than allowed.

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
    """Check a validation file and remember its examples.

    Args:
        chunks: the file.
        limits: those of the source model; a validation file's own are taken from them.
        method: how the model is tuned, which says what a line holds.
    """
    lines: dict[int, int] = {}

    def remember(line: int, _text: bytes, measure: Measure) -> None:
        if len(lines) < limits.max_validation_examples:  # a file with more is refused: memory stays bounded
            lines.setdefault(measure.identity, line)

    report = validate(chunks, limits=limits.of_validation_file(), on_example=remember, method=method)
    return report, ValidationExamples(report.examples, lines)


class TrainingDataValidator:
    """Take a training file chunk by chunk, hand out each problem as it is found, and judge at the end.

    Memory is bounded: two times `limits.max_line_bytes`, nine bytes for each line, and what a chunk takes.
    Not thread safe.

    Args:
        limits: of the source model.
        on_problem: is given the problems, in the order of the lines: of 10,000 lines at most.
        on_example: is given every valid example: 1-based line, its bytes without white space around, what it holds.
        invalid_lines: whether lines with problems forbid tuning on the others.
        validation: examples to look for in this file.
        method: how the model is tuned, which says what a line holds.
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
        self._rest = bytearray()  # the line that has not ended yet, or its head once it is too long
        self._rest_bytes = 0
        self._is_foreign = False  # not JSONL at all, or for another method
        self._most_bad_lines = MOST_BAD_LINES[invalid_lines]
        self._is_decided = False  # no line can change the verdict any more: they are only counted from there on

    @property
    def wants_more(self) -> bool:
        """False once the file is larger than allowed: the rest is not looked at and need not be read."""
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
        """Take lines of which only the number matters: blank ones, and what comes after the verdict."""
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
            assumed=figures.assumed.told(self._limits.max_tokens_per_example),
            warnings=(*warnings(figures, duplicates, lines_compared=LINES_COMPARED), *self._own_warnings()),
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
        figures = self._figures
        figures.lines += 1
        if self._is_decided:
            return
        if figures.lines == 1 and line.startswith(codecs.BOM_UTF8):
            figures.has_bom = True
            line = line[len(codecs.BOM_UTF8) :]
        if length > self._limits.max_line_bytes:
            self._take_long(line[:_HEAD_BYTES], length)  # all that is kept of it where it came in pieces
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
        # Most lines are good: what a bad one is, is looked at only here.
        figures = self._figures
        if self._seen == 0 and (looks_like := foreign_form(line, is_json=bad.reason is not Reason.NOT_JSON)):
            self._refuse_form(line, looks_like, bad.column if looks_like is CR_ONLY else None)
            return
        # A long line is read once, not once for each method.
        if self._seen == 0 and len(line) <= _LONG_LINE_BYTES and (other := meant_for_another(line, self._method)):
            # Said once, and not of each line: what follows is of the same kind.
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
        """Lines so far that are not blank, without the one that is being looked at."""
        return self._figures.lines - 1 - self._figures.blank

    def _refuse_form(self, line: bytes, looks_like: str, column: int | None = None) -> None:
        self._is_foreign = True
        message = f"This is not JSON Lines: it looks like {looks_like}. Write one JSON object on each line."
        self._report_line(line, Reason.NOT_JSONL, message, column)

    def _judge_file(self) -> None:
        limits, figures = self._limits, self._figures
        present = figures.examples + figures.bad_lines + figures.hidden
        # With `quarantine`, what is tuned on is what must be enough, and not too much.
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
                f"`invalid_lines: quarantine`, a file with {self._most_bad_lines:,} or more is refused. Mend them."
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
