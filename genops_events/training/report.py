"""The report about a training file: figures, problems, warnings, and a summary in one or two sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from genops_events.catalogue.tuning_models import METHODS, Method, ModelLimits
from genops_events.training.duplicates import Duplicates
from genops_events.training.examples import Measure
from genops_events.training.file_tokens import Assumed
from genops_events.training.reasons import Reason

LONG_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why the file, or one of its lines, cannot be tuned on."""

    line: int | None
    """1-based; None where the file as a whole is the problem."""
    column: int | None
    """1-based byte of the line; None where no single byte is wrong."""
    reason: Reason
    message: str
    found: str
    """The line, cut at 200 characters."""

    def to_json_line(self) -> bytes:
        """Return this problem as one line of quarantine.jsonl, with its line end."""
        return msgspec.json.encode(self) + b"\n"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Figures of a training file, and whether it may be tuned on."""

    valid: bool
    """With the policy `reject`, True if there is no problem; with `quarantine`, True if enough lines are valid."""
    summary: str
    """One or two sentences: the findings, and what to do."""
    examples: int
    """Number of valid examples."""
    lines: int
    """Lines of the file, checked or not."""
    size_bytes: int
    """Bytes that were read; for a file that is too large, one more than allowed."""
    tokens_estimate: int
    """The most tokens that are billed for one epoch, files included: by `estimated_tokens` and `assumed`."""
    problems_total: int
    """Number of problems; a lower bound if `lines_checked` is less than `lines`."""
    lines_checked: int = 0
    """Lines that were checked: further lines could not change the result."""
    quarantined: int = 0
    """Invalid lines that are not tuned on; 0 unless the policy is `quarantine` and enough lines are valid."""
    duplicates: int = 0
    """Examples that repeat an earlier one."""
    leaked: int = 0
    """Examples that are in the validation file, too."""
    problems_by_reason: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    """The first 100 problems."""
    warnings: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    """Assumptions of `tokens_estimate` about files, which are not opened; also among the warnings."""


@dataclass(slots=True)
class Figures:
    """Figures of a file so far."""

    limits: ModelLimits
    method: Method = "supervised"
    size_bytes: int = 0
    lines: int = 0
    blank: int = 0
    examples: int = 0
    """Number of valid examples."""
    tokens: int = 0
    lines_checked: int = 0
    hidden: int = 0
    """Further objects on the line of another one."""
    media_examples: int = 0
    odd_types: int = 0
    file_examples: int = 0
    """Examples with addresses of files."""
    assumed: Assumed = field(default_factory=Assumed)
    long: int = 0
    """Examples that may be over the limit on tokens."""
    long_lines: list[int] = field(default_factory=list)
    """1-based lines of the first few of them."""
    has_bom: bool = False
    by_reason: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    bad_lines: int = 0
    leaked: int = 0
    leaks: list[tuple[int, int]] = field(default_factory=list)
    """The first few leaks: 1-based line in this file, and in the validation file."""

    def take(self, measure: Measure, billed: int) -> None:
        """Count a valid example, which is on the line that was read last.

        Args:
            measure: figures of the example.
            billed: the most tokens that are billed for it.
        """
        self.examples += 1
        self.tokens += billed
        self.media_examples += 1 if measure.media else 0
        self.odd_types += 1 if measure.odd_types else 0
        self.file_examples += 1 if measure.files else 0
        if measure.tokens > self.limits.max_tokens_per_example:
            self.long += 1
            if len(self.long_lines) < LONG_LINES_SHOWN:
                self.long_lines.append(self.lines)


def summary(figures: Figures, *, valid: bool) -> str:
    """Return one or two sentences with the findings, and what to do."""
    limits, bad = figures.limits, figures.bad_lines
    if valid:
        purpose = "to tune" if figures.method == "supervised" else f"for {METHODS[figures.method]} of"
        if limits.for_validation:
            purpose = "to be the validation file of"
        of = f" of {figures.examples + bad:,}" if bad else ""
        text = (
            f"{figures.examples:,}{of} {_noun(figures.examples + bad, 'example')}, about {figures.tokens:,} tokens "
            f"in {figures.size_bytes:,} bytes: ready {purpose} {limits.model}."
        )
        if bad:
            text += f" {count(bad, 'invalid line')} in quarantine ({by_reason(figures.by_reason)})."
        return text
    verdict = "cannot be the validation file" if limits.for_validation else "cannot be tuned on"
    problems, first = figures.by_reason.total(), figures.problems[0]
    place = f"line {first.line}" + (f", column {first.column}" if first.column is not None else "")
    if problems == 1:
        where = f"{place[0].upper()}{place[1:]}: " if first.line is not None else ""
        return f"The file {verdict}. {where}{first.message}"
    is_all = figures.lines_checked == figures.lines
    return (
        f"The file {verdict}: {'' if is_all else 'at least '}{problems:,} problems ({by_reason(figures.by_reason)}) beside "
        f"{count(figures.examples, 'good example')}"
        f"{'' if is_all else f' in the first {figures.lines_checked:,} of {figures.lines:,} lines; the others were not '}"
        f"{'' if is_all else 'checked, since they cannot change the result'}. The first{f' ({place})' if first.line is not None else ''}: "
        f"{first.message} Fix them all and upload the file again."
    )


def warnings(figures: Figures, duplicates: Duplicates, *, lines_compared: int) -> tuple[str, ...]:
    """Return warnings about findings that do not stop tuning."""
    found = []
    if figures.has_bom:
        found.append("The file begins with a byte order mark, which is skipped; save it as UTF-8 without one.")
    if figures.blank:
        found.append(f"{count(figures.blank, 'blank line')} skipped.")
    found += _about_tokens(figures)
    if figures.odd_types:
        found.append(
            f"{count(figures.odd_types, 'example')} {_names(figures.odd_types)} a MIME type with capitals. Google's "
            "lists have small letters, and whether others are taken is not known: write application/pdf, image/png."
        )
    if figures.file_examples and figures.limits.readable is None:
        found.append(
            f"{count(figures.file_examples, 'example')} with addresses of files: whether these may be read was not checked, "
            "since no genops.yaml says which bucket is used."
        )
    if figures.method == "distillation" and not figures.limits.for_validation:
        found.append("The teacher's answers, which are tuned on, are not in the estimate: tuning will cost more.")
    if duplicates.count:
        pairs = ", ".join(f"{line} (as line {earlier})" for line, earlier in duplicates.pairs)
        found.append(
            f"{count(duplicates.count, 'example')} {_repeats(duplicates.count)} an earlier one: line {pairs}"
            f"{', …' if duplicates.count > len(duplicates.pairs) else ''}. "
            "Repeated examples weigh more and are paid for each time; leave them out unless that is meant."
        )
    if figures.lines > lines_compared:
        found.append(f"Only the first {lines_compared:,} lines were compared for duplicates.")
    if figures.leaked:
        pairs = ", ".join(f"{line} (line {there} there)" for line, there in figures.leaks)
        found.append(
            f"{count(figures.leaked, 'example')} {'is' if figures.leaked == 1 else 'are'} also in the validation "
            f"file: line {pairs}{', …' if figures.leaked > len(figures.leaks) else ''}. "
            "The validation figures will look better than the model is; keep each example in one of the two files."
        )
    return tuple(found)


def too_few(figures: Figures, holds: str) -> str:
    """Return the message about a file with too few examples; `holds` is the beginning of a sentence, before "at least"."""
    least, good, bad = figures.limits.min_examples, figures.examples, figures.bad_lines + figures.hidden
    if not bad:
        return f"{count(good, 'example')}; {holds} at least {least}. Add examples."
    missing = least - good - bad
    remedy = f"Fix them and add {missing} more." if missing > 0 else "Fix them."
    is_are = "is" if good == 1 else "are"
    lines = f"{count(figures.bad_lines, 'line')} {'is' if figures.bad_lines == 1 else 'are'} not"
    return f"{count(good, 'example')} {is_are} valid and {lines}; {holds} at least {least}. {remedy}"


def _about_tokens(figures: Figures) -> Iterator[str]:
    yield from figures.assumed.sentences(figures.limits.max_tokens_per_example)
    if figures.long:
        lines = ", ".join(map(str, figures.long_lines)) + (", …" if figures.long > len(figures.long_lines) else "")
        yield (
            f"{count(figures.long, 'example')} may have more than {figures.limits.max_tokens_per_example:,} tokens "
            f"(line {lines}): the estimate is rather too high, and only Vertex AI knows. It drops what is over, and tunes "
            "on the others."
        )


def by_reason(counts: Counter[str]) -> str:
    """Return the counts as `wrong_role 3, not_json 1`, the most frequent first."""
    return ", ".join(f"{reason} {number:,}" for reason, number in counts.most_common())


def count(number: int, noun: str) -> str:
    """Return `1 line`, `2,000 lines`."""
    return f"{number:,} {_noun(number, noun)}"


def _noun(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def _names(number: int) -> str:
    return "names" if number == 1 else "name"


def _repeats(number: int) -> str:
    return "repeats" if number == 1 else "repeat"
