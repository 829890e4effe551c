"""Place the names of points so that none overlaps another name or a point, or leaves the drawing."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEIGHT = 13.0
"""Height of a line of text, in the drawing's units."""
_NARROW, _WIDE = 7.2, 13.0
"""Widest usual letter of the report's fonts, and of fonts for Chinese, Japanese or Korean, at a size of 12.5 units."""
_NEAREST, _FARTHEST, _STEP = 8.0, 176.0, 8.0
_DIRECTIONS = 16
_GAP = 1.5
_THROUGH_LINE = 20.0
"""Distance that counts as much as crossing a line: a name across an interval can be read, but looks untidy."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the drawing; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether the two share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        """Return whether the whole box is within `other`."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


def width(text: str) -> float:
    """Return the greatest width of a text in the drawing's units: fonts differ from machine to machine."""
    return math.fsum(
        0.0
        if unicodedata.combining(one) or unicodedata.category(one) == "Cf"
        else _WIDE
        if unicodedata.east_asian_width(one) in "WF"
        else _NARROW
        for one in text
    )


def placed(
    points: Sequence[tuple[float, float]], texts: Sequence[str], *, within: Box, radius: float, lines: Sequence[Box]
) -> list[Box | None]:
    """Return a box for each text, as near to its point as there is room; None where there is no room at all.

    Args:
        points: their coordinates.
        texts: one for each point, in the same order; further points have no text.
        within: the area that no text may leave.
        radius: of a point; no text overlaps a point.
        lines: boxes that a text should not cross, if possible.
    """
    taken = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    found: list[Box | None] = []
    for (x, y), text in zip(points, texts, strict=False):
        best: tuple[float, Box] | None = None
        for far, box in _around(x, y, width(text)):
            if best is not None and far >= best[0]:
                break
            if not box.inside(within) or any(box.meets(other) for other in taken):
                continue
            badness = far + _THROUGH_LINE * sum(box.meets(line) for line in lines)
            if best is None or badness < best[0]:
                best = badness, box
        if best is not None:
            taken.append(best[1])
        found.append(best[1] if best else None)
    return found


def _around(x: float, y: float, wide: float) -> Iterator[tuple[float, Box]]:
    """Yield places for a text, the nearest first; of equally near ones, right of the point is tried first."""
    wide += 2 * _GAP
    distance = _NEAREST
    while distance <= _FARTHEST:
        for index in range(_DIRECTIONS):
            # 0, 1, -1, 2, -2, …: from the right to the left, above and below in turn.
            turn = (index + 1) // 2 * (1 if index % 2 else -1)
            angle = 2 * math.pi * turn / _DIRECTIONS
            across, down = math.cos(angle), -math.sin(angle)
            # The distance is that between the point and the nearest edge of the box.
            left = x + across * distance - wide * (1 - across) / 2
            top = y + down * distance - HEIGHT * (1 - down) / 2
            yield distance, Box(left, top, left + wide, top + HEIGHT)
        distance += _STEP
