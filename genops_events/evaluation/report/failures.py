"""Rows that have no score: why, how many, and which they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genops_events.evaluation.rows import Row, causes
from genops_events.record.endings import REMEDIES, UNUSABLE
from genops_events.reports import short

_NAMED_AT_MOST = 50
_CAUSE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Named:
    """Rows by their ids: the first 50."""

    count: int
    ids: Sequence[str]
    more: int
    """How many are not named."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why rows have no score, and how often."""

    text: str
    times: int


@dataclass(frozen=True, slots=True)
class Failures:
    """Rows that have no score in some metric."""

    count: int
    causes: Sequence[Cause]
    others: Named | None
    """Those whose answer can be scored, or that have none."""


@dataclass(frozen=True, slots=True)
class UnusableLine:
    """Rows whose answer is none, for the same reason."""

    state: str
    remedy: str
    rows: Named


@dataclass(frozen=True, slots=True)
class Unusable:
    """Rows whose answer is none: cut, blocked or empty."""

    count: int
    lines: Sequence[UnusableLine]


def failures(failed: Sequence[Row]) -> Failures:
    """Return why rows have no score, and which those are whose answer is not to blame.

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
    """Return the rows whose answer is none: how many of which state, what to do, and which they are; None without any."""
    lines = [
        UnusableLine(state, REMEDIES[state], named(found))
        for state in UNUSABLE
        if (found := [row for row in failed if row.state == state])
    ]
    return Unusable(sum(one.rows.count for one in lines), lines) if lines else None


def named(rows: Sequence[Row]) -> Named:
    """Return the rows by their ids, and how many more there are than are named."""
    return Named(len(rows), [short(row.id) for row in rows[:_NAMED_AT_MOST]], max(len(rows) - _NAMED_AT_MOST, 0))
