"""Quality against cost: a point for each contestant, with the interval of its mean, and the Pareto front."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from genops_events.comparison.report.labels import Box, placed, width
from genops_events.reports import Chart, ChartText, Dot, Line, Shape, Steps, short

_WIDTH, _HEIGHT = 400, 330
_PLOT = Box(46, 22, 390, 276)
_INSIDE = _PLOT.left + 8, _PLOT.right - 8
"""Ends of the axis of cost, so that a point at an end is drawn whole."""
_NAMES = Box(_PLOT.left, 13, 399, _PLOT.bottom - 1)
_RADIUS = 5.0
_MOST_TICKS = 5
_LOGARITHMIC_FROM = 20.0
"""Ratio of the highest to the lowest cost from which the axis is logarithmic: else all cheap points would be at the left edge."""
_NAMED_AT_MOST, _NUMBERED_AT_MOST = 8, 60
"""Most points with a name, and with a number; the figures of all others are in the list beside the chart only."""
_NAME_CHARACTERS = 28
_CENTS_FROM = 0.1
_UNLED = 9.0
_DECIMALS = 6
"""Of a coordinate: rounding errors would put a point at an end of its axis outside."""
_HAIR = 1e-9
"""Tolerance for rounding errors such as that of 0.3 / 0.1."""


@dataclass(frozen=True, slots=True)
class Point:
    """A contestant in the chart."""

    number: int
    """Shown in place of the name where there is no room for that."""
    name: str
    quality: float
    low: float | None
    high: float | None
    """Ends of the 95 % interval of `quality`."""
    cost_usd: float
    """Cost of 1,000 answers in USD."""

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval; both are the mean where there is no interval."""
        return (
            self.quality if self.low is None else self.low,
            self.quality if self.high is None else self.high,
        )


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis: maps figures to coordinates of the drawing."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), _DECIMALS)


def pareto_front(points: Sequence[Point]) -> set[int]:
    """Return the numbers of the points on the Pareto front: no other has a higher mean at most as expensive, or the same for less."""
    return {
        one.number
        for one in points
        if not any(
            other.quality >= one.quality
            and other.cost_usd <= one.cost_usd
            and (other.quality, other.cost_usd) != (one.quality, one.cost_usd)
            for other in points
        )
    }


def quality_against_cost(metric: str, points: Sequence[Point], *, low: float | None, high: float | None) -> Chart:
    """Return the chart: better is higher, cheaper is farther left.

    Args:
        metric: name of the metric.
        points: at least one.
        low: lowest possible score; None where there is no bound.
        high: highest possible score; None where there is no bound.
    """
    across, up = _cost_axis(points), _quality_axis(points, low, high)
    best = pareto_front(points)
    spots = [(across.at(one.cost_usd), up.at(one.quality)) for one in points]
    bars = [
        Box(x - 2, up.at(one.ends[1]), x + 2, up.at(one.ends[0])) for one, (x, _) in zip(points, spots, strict=True)
    ]
    front = _front(points, best, across, up)
    texts, boxes = _named(points, spots, [*bars, *_treads(front)])
    shapes = [*_frame(across, up), *_path(front)]
    crowded = " crowded" if len(points) > _NAMED_AT_MOST else ""
    dots = []
    for one, (x, y), bar, box in zip(points, spots, bars, boxes, strict=True):
        style = "best" if one.number in best else "other"
        dots.append(Dot(style, x, y, _RADIUS, _title(one, is_best=one.number in best)))
        if bar.bottom > bar.top:
            shapes.append(Line(f"{style} interval{crowded}", x, bar.top, x, bar.bottom))
        if box is not None:
            shapes += _leader(x, y, box)
    names = [
        ChartText("name middle", (box.left + box.right) / 2, box.bottom - 3, text)
        for text, box in zip(texts, boxes, strict=True)
        if box is not None
    ]
    label = f"{metric} against the cost of 1,000 answers: {'; '.join(dot.title for dot in dots)}"
    return Chart(label, _WIDTH, _HEIGHT, [*shapes, *dots, *names])


def _title(one: Point, *, is_best: bool) -> str:
    between = "" if one.low is None or one.high is None else f" (95 %: {one.low:.4g} to {one.high:.4g})"
    return (
        f"{one.number}, {_isolated(short(one.name))}: {one.quality:.4g}{between} for {dollars(one.cost_usd)}"
        f"{', beaten by no other' if is_best else ''}"
    )


def dollars(value: float) -> str:
    """Return an amount with enough digits to differ from 0, and without an exponent."""
    if value == 0 or value >= _CENTS_FROM:
        return f"${value:,.2f}"
    digits = min(12, 1 - math.floor(math.log10(value)))
    return f"${value:.{digits}f}".rstrip("0")


def _named(
    points: Sequence[Point], spots: Sequence[tuple[float, float]], bars: Sequence[Box]
) -> tuple[list[str], list[Box | None]]:
    """Return names with their places if there is room for all of them; else numbers with places."""
    numbers = [str(one.number) for one in points]
    if len(points) <= _NAMED_AT_MOST:
        texts = [f"{one.number} {_isolated(short(one.name, _NAME_CHARACTERS))}" for one in points]
        boxes = placed(spots, texts, within=_NAMES, radius=_RADIUS, lines=bars)
        if None not in boxes:
            return texts, boxes
    boxes = placed(spots, numbers[:_NUMBERED_AT_MOST], within=_NAMES, radius=_RADIUS, lines=bars)
    return numbers, boxes + [None] * (len(points) - len(boxes))


def _isolated(name: str) -> str:
    """Return a name between Unicode isolates, so that its writing direction has no effect on other text."""
    return f"\u2068{name}\u2069"


def _front(points: Sequence[Point], best: set[int], across: _Axis, up: _Axis) -> list[tuple[float, float]]:
    """Return the coordinates of the points on the Pareto front, the cheapest first."""
    steps = sorted({(one.cost_usd, one.quality) for one in points if one.number in best})
    return [(across.at(cost), up.at(quality)) for cost, quality in steps]


def _treads(front: Sequence[tuple[float, float]]) -> list[Box]:
    return [Box(x, y - 1, next_x, y + 1) for (x, y), (next_x, _) in pairwise(front)]


def _path(front: Sequence[tuple[float, float]]) -> Iterator[Shape]:
    """Yield the line through the Pareto front; all other points are below it or to its right."""
    (first_x, first_y), *others = front
    if others:
        yield Steps("front", first_x, first_y, others)


def _leader(x: float, y: float, box: Box) -> Iterator[Shape]:
    """Yield a line from a point to its name, if the name is so far away that it could be taken for another point's."""
    near = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    far = math.dist((x, y), near)
    if far >= _RADIUS + _UNLED:
        yield Line("leader", x + (near[0] - x) * _RADIUS / far, y + (near[1] - y) * _RADIUS / far, *near)


def _frame(across: _Axis, up: _Axis) -> Iterator[Shape]:
    yield ChartText("", 0, 11, "mean")
    for tick in up.ticks:
        y = up.at(tick)
        yield Line("grid", _PLOT.left, y, _PLOT.right, y)
        yield ChartText("right", _PLOT.left - 6, y + 4, f"{tick:.4g}")
    yield Line("axis", _PLOT.left, _PLOT.bottom, _PLOT.right, _PLOT.bottom)
    ends = float(_WIDTH)
    for tick in reversed(across.ticks):
        x, text = across.at(tick), dollars(tick).removesuffix(".00")
        half = width(text) / 2
        middle = min(x, _WIDTH - half)
        yield Line("axis", x, _PLOT.bottom, x, _PLOT.bottom + 4)
        if middle + half <= ends:  # else it would overlap its neighbour
            yield ChartText("middle", middle, _PLOT.bottom + 19, text)
            ends = middle - half
    scale = ", logarithmic" if across.logarithmic else ""
    yield ChartText("middle", (_PLOT.left + _PLOT.right) / 2, _HEIGHT - 8, f"cost of 1,000 answers{scale}")


def _quality_axis(points: Sequence[Point], low: float | None, high: float | None) -> _Axis:
    bottom, top = min(one.ends[0] for one in points), max(one.ends[1] for one in points)
    span = top - bottom or (high - low if low is not None and high is not None else 0) or abs(top) or 1.0
    step = _round_step(span)
    bottom, top = math.floor(bottom / step + _HAIR) * step, math.ceil(top / step - _HAIR) * step
    if top - bottom < step / 2:
        bottom, top = bottom - step, top + step
    # The axis does not go beyond the metric's own bounds.
    bottom, top = max(bottom, low if low is not None else bottom), min(top, high if high is not None else top)
    first, last = math.ceil(bottom / step - _HAIR), math.floor(top / step + _HAIR)
    ticks = [step * index for index in range(first, last + 1)]
    return _Axis(bottom, top if top > bottom else bottom + step, _PLOT.bottom, _PLOT.top, ticks)


def _cost_axis(points: Sequence[Point]) -> _Axis:
    least, most = min(one.cost_usd for one in points), max(one.cost_usd for one in points)
    if least > 0 and most / least >= _LOGARITHMIC_FROM:
        tens = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        round_ones = [factor * 10.0**ten for ten in tens for factor in (1, 2, 5)]
        low = max(one for one in round_ones if one <= least * (1 + _HAIR))
        high = min(one for one in round_ones if one >= most * (1 - _HAIR))
        ticks = [one for one in round_ones if low <= one <= high]
        return _Axis(low, high, *_INSIDE, ticks[:: -(-len(ticks) // _MOST_TICKS)], logarithmic=True)
    step = _round_step(most or 1.0)
    last = max(math.ceil(most / step - _HAIR), 1)
    return _Axis(0.0, last * step, *_INSIDE, [step * index for index in range(last + 1)] if most else [0.0])


def _round_step(span: float) -> float:
    """Return a round step, so that `span` has at most `_MOST_TICKS` ticks."""
    rough = max(
        span / (_MOST_TICKS - 1), sys.float_info.min
    )  # anything less may be rounded to 0, which has no logarithm
    size = 10.0 ** math.floor(math.log10(rough))
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * (1 - _HAIR))
