"""Choose the rows that a report shows: those on which the contestants differ most, bounded in number."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genops_events.record.comparison import ComparedRow

_MOST_ROWS, _FEWEST_ROWS = 40, 5
_MOST_ANSWERS = 240
"""Most answers of all shown rows together: the more contestants, the fewer rows."""


@dataclass(frozen=True, slots=True)
class ShownRows:
    """The rows that are shown, and the number of all rows."""

    rows: Sequence[ComparedRow]
    """In order of how much the contestants differ, the greatest difference first."""
    total: int


def rows_shown(contestants: int) -> int:
    """Return how many rows are shown for so many contestants."""
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_ANSWERS // max(contestants, 1)))


def differ_most(rows: Iterable[ComparedRow], metrics: Sequence[str], most: int) -> ShownRows:
    """Return the `most` rows that differ most; of equal ones, those that come first in the file.

    Rows are ordered by the spread of their scores in the first metric, then in the next ones, then by the number of
    different answers. Only the returned rows are held in memory.
    """
    total = 0

    def ranked() -> Iterable[tuple[tuple[tuple[float, ...], int], int, ComparedRow]]:
        nonlocal total
        for row in rows:
            total += 1
            yield (tuple(spread(row, metric) for metric in metrics), different(row)), -total, row

    # The count comes before the row and is never the same twice, so rows themselves are never compared.
    kept = heapq.nlargest(most, ranked())
    return ShownRows([row for *_, row in kept], total)


def spread(row: ComparedRow, metric: str) -> float:
    """Return the difference of the highest and the lowest score; 0 where there are fewer than two."""
    scores = [one.scores[metric] for one in row.answers.values() if metric in one.scores]
    return max(scores) - min(scores) if scores else 0.0


def different(row: ComparedRow) -> int:
    """Return the number of different answers; a missing answer counts as one, and an empty one as another."""
    return len({(one.answer, one.state) for one in row.answers.values()})
