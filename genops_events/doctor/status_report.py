"""The status of the cascade over some hours, as a document for people: Markdown, so that a log shows it as well. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from genops_events.reading.object_names import ROOT
from genops_events.record.candidates import Candidate
from genops_events.record.stages import Stage

REPORTS = f"{ROOT}reports/"
_MOST_ROWS = 50
_MOST_CHARACTERS = 160
"""Of a cell: a reason may be long, and the record has all of it."""


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is about."""

    since: datetime
    until: datetime

    @classmethod
    def before(cls, until: datetime, *, hours: float) -> Period:
        """Return the hours before an instant."""
        return cls(until - timedelta(hours=hours), until)

    @property
    def path(self) -> str:
        """Where the report of this period lies in the bucket: the same for a retry."""
        return f"{REPORTS}{self.until.astimezone(UTC):%Y-%m-%dT%H-%M-%S}.md"

    def in_sql(self, query: str) -> str:
        """Return a query with `$since` and `$until` as instants."""
        for name, at in (("$since", self.since), ("$until", self.until)):
            query = query.replace(name, f"TIMESTAMPTZ '{at.astimezone(UTC).isoformat()}'")
        return query


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a report."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A candidate that goes on only if a person says so."""

    candidate: str
    what: str
    command: str


def waiting_of(candidate: Candidate) -> Iterator[Waiting]:
    """Yield what a candidate waits for a person with: money, or a word about its promotion."""
    for stage, hold in candidate.holds.items():
        yield Waiting(candidate.id, f"{stage}: {hold.reason}", f"genops approve {candidate.id} --budget")
    if candidate.question is not None and candidate.answer is None and Stage.PROMOTION not in candidate.verdicts:
        until = f"{candidate.question.asked_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        asked = f"promotion: shall it become champion? Until {until}, then {candidate.question.on_timeout}"
        yield Waiting(candidate.id, asked, f"genops approve {candidate.id}")


def report(period: Period, sections: Sequence[Section], waiting: Sequence[Waiting], dead_letters: int | None) -> str:
    """Return the report.

    Args:
        period: what it is about.
        sections: tables.
        waiting: as it is now, whenever the period was.
        dead_letters: how many there are now; None where that is not known.
    """
    since, until = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for at in (period.since, period.until))
    lines = [f"# Status of the cascade, {since} to {until}", ""]
    for section in sections:
        lines += [f"## {section.title}", "", *_table(section.columns, section.rows), ""]
    lines += ["## Waiting for a person, now", ""]
    rows = [(one.candidate, one.what, f"`{one.command}`") for one in waiting]
    lines += [*_table(("candidate", "what it waits for", "command"), rows), ""]
    lines += ["## Dead letters, now", "", _letters(dead_letters), ""]
    return "\n".join(lines)


def _letters(count: int | None) -> str:
    if count is None:
        return "Not known: `genops dead-letters` says why."
    return "None." if count == 0 else f"{count:,}. `genops dead-letters` shows what each is, and why."


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    if not rows:
        yield "None."
        return
    shown = [[_cell(value) for value in row] for row in rows[:_MOST_ROWS]]
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    yield _row(columns, widths)
    yield _row(["-" * width for width in widths], widths)
    for row in shown:
        yield _row(row, widths)
    if len(rows) > _MOST_ROWS:
        yield ""
        yield f"And {len(rows) - _MOST_ROWS:,} more."


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    elif isinstance(value, datetime):
        text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    else:
        text = str(value)
    # A line and a column each have one meaning in Markdown.
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
