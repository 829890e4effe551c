"""Rows without a score: the causes, the number of rows, and their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genops_events.evaluation.rows import Row, causes
from genops_events.record.endings import UNUSABLE, remedy
from genops_events.reports import short

_NAMED_AT_MOST = 50
_CAUSE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Ids of rows: of the first 50."""

    count: int
    """Number of all rows."""
    ids: Sequence[str]
    more: int
    """Number of rows whose id is not in `ids`."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why rows have no score, and the number of these rows."""

    text: str
    times: int


@dataclass(frozen=True, slots=True)
class Failures:
    """Rows that have no score in some metric."""

    count: int
    causes: Sequence[Cause]
    others: NamedRows | None
    """The rows of which a scorable answer, or none, exists; None for no such row."""


@dataclass(frozen=True, slots=True)
class UnusableLine:
    """Rows with an unusable answer, for the same reason."""

    state: str
    remedy: str
    rows: NamedRows


@dataclass(frozen=True, slots=True)
class Unusable:
    """Rows with an unusable answer: cut, blocked or empty."""

    count: int
    lines: Sequence[UnusableLine]


def failures(failed: Sequence[Row]) -> Failures:
    """Return why rows have no score, and the ids of those for which an unusable answer is not the cause.

    Args:
        failed: rows without a score in some metric; at least one.
    """
    others = [row for row in failed if row.state not in UNUSABLE]
    return Failures(
        count=len(failed),
        causes=[Cause(short(text, _CAUSE_CHARACTERS), times) for text, times in causes(failed).items()],
        others=named(others) if others else None,
    )


def unusable(failed: Sequence[Row]) -> Unusable | None:
    """Return the rows with an unusable answer by its state, with a remedy and their ids; None where there are none."""
    lines = [
        UnusableLine(state, remedy(state, causes(found)), named(found))
        for state in UNUSABLE
        if (found := [row for row in failed if row.state == state])
    ]
    return Unusable(sum(one.rows.count for one in lines), lines) if lines else None


def named(rows: Sequence[Row]) -> NamedRows:
    """Return the ids of the first 50 rows, and the number of the others."""
    return NamedRows(len(rows), [short(row.id) for row in rows[:_NAMED_AT_MOST]], max(len(rows) - _NAMED_AT_MOST, 0))
