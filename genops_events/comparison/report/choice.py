"""Which rows a report shows: those on which the contestants differ most, and no more than a person reads."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genops_events.record.comparison import ComparedRow

_MOST_ROWS, _FEWEST_ROWS = 40, 5
_MOST_ANSWERS = 240
"""Of all rows together: the more contestants, the fewer rows."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows that are shown, and how many there are."""

    rows: Sequence[ComparedRow]
    """Those first on which the contestants differ most."""
    total: int


def rows_shown(contestants: int) -> int:
    """Return how many rows are shown of a comparison of so many contestants."""
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_ANSWERS // max(contestants, 1)))


def differ_most(rows: Iterable[ComparedRow], metrics: Sequence[str], most: int) -> Chosen:
    """Return the `most` rows that differ most; of equals, those that come first in the file.

    Rows differ by how far apart their scores are, in the first metric, then in the next; then by how many different
    answers there are. Only the rows that are kept are held in memory.
    """
    total = 0

    def ranked() -> Iterable[tuple[tuple[tuple[float, ...], int], int, ComparedRow]]:
        nonlocal total
        for row in rows:
            total += 1
            yield (tuple(spread(row, metric) for metric in metrics), different(row)), -total, row

    # The count comes before the row: no two are equal, and so rows are never compared.
    kept = heapq.nlargest(most, ranked())
    return Chosen([row for *_, row in kept], total)


def spread(row: ComparedRow, metric: str) -> float:
    """Return how far apart the highest and the lowest score are; 0 where there are not two."""
    scores = [one.scores[metric] for one in row.answers.values() if metric in one.scores]
    return max(scores) - min(scores) if scores else 0.0


def different(row: ComparedRow) -> int:
    """Return how many different answers there are; none at all is one, too, and an empty one another."""
    return len({(one.answer, one.state) for one in row.answers.values()})
