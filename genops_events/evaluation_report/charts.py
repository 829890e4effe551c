"""Charts as inline SVG: how scores are distributed, and where means and bounds lie. Colours come from the page's style.

A chart is one image to people who hear the page, so its label tells all that it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

from genops_events.evaluation.score_statistics import histogram
from genops_events.report_parts import svg

BINS = 10
_WIDTH = 400
_LEFT, _RIGHT, _TOP, _BASE = 34, 394, 22, 132
"""Of the bars; counts stand left of them."""
_TRACK_LEFT, _TRACK_RIGHT, _FIRST_LINE, _LINE = 106, 338, 20, 26
"""Of the points; names stand left of them, figures right."""
_MOST_TICKS = 4
_WIDEST_BAR = 40
_MOST_SINGLE = 11


@dataclass(frozen=True, slots=True)
class _Slots:
    """Where on the axis scores are counted: at each value that there can be, or from one edge to the next."""

    edges: Sequence[float]
    single: bool

    @property
    def told(self) -> list[str]:
        if self.single:
            return [f"at {value:.4g}" for value in self.edges]
        return [f"from {low:.3g} to {high:.3g}" for low, high in pairwise(self.edges)]

    def counts(self, scores: Sequence[float]) -> list[int]:
        if self.single:
            return [sum(score == value for score in scores) for value in self.edges]
        return histogram(scores, low=self.edges[0], high=self.edges[-1], bins=len(self.edges) - 1)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean as a point, with the ends of its interval where it has one."""

    whose: Literal["candidate", "champion"]
    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """What a mean is held against."""

    name: str
    value: float


def distribution(title: str, scores: Sequence[float], champion: Sequence[float], *, low: float, high: float) -> str:
    """Return how many rows have which score: the candidate's as bars, the champion's beside them where there are any.

    Args:
        title: what the chart is of, for people who hear it.
        scores: the candidate's.
        champion: the champion's; empty where it was not scored.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1
    slots = _slots([*scores, *champion], low, high)
    groups = [(name, slots.counts(one)) for name, one in _named(scores, champion)]
    ticks = _ticks(max((count for _, counts in groups for count in counts), default=0))
    step = (_RIGHT - _LEFT) / len(slots.told)
    bar = min((step - 6) / len(groups), _WIDEST_BAR)
    drawn = [f'<text x="{_LEFT}" y="11">rows</text>', *_grid(ticks)]
    told = []
    for place, (name, counts) in enumerate(groups):
        for index, count in enumerate(counts):
            if not count:
                continue
            height = max(2.0, (_BASE - _TOP) * count / ticks[-1])
            x = _LEFT + (index + 0.5) * step + (place - len(groups) / 2) * bar
            told.append(f"{name} {count} {'row' if count == 1 else 'rows'} {slots.told[index]}")
            drawn.append(
                f'<rect class="{name}" x="{x + 0.75:.2f}" y="{_BASE - height:.1f}" width="{bar - 1.5:.2f}" '
                f'height="{height:.1f}"><title>{told[-1]}</title></rect>'
            )
    drawn.append(f'<line class="axis" x1="{_LEFT}" y1="{_BASE}" x2="{_RIGHT}" y2="{_BASE}"/>')
    if slots.single:
        for index, value in enumerate(slots.edges):
            drawn.append(
                f'<text class="middle" x="{_LEFT + (index + 0.5) * step:.1f}" y="{_BASE + 17}">{value:.4g}</text>'
            )
    else:
        drawn.append(_ends(low, high, _LEFT, _RIGHT, _BASE + 17))
        drawn.append(f'<text class="middle" x="{(_LEFT + _RIGHT) / 2}" y="{_BASE + 17}">{(low + high) / 2:.4g}</text>')
    return svg(f"Distribution of {title}: {'; '.join(told)}", "".join(drawn), width=_WIDTH, height=_BASE + 26)


def comparison(title: str, means: Sequence[Mean], bounds: Sequence[Bound], *, low: float, high: float) -> str:
    """Return means as points on one axis, and what they are held against as lines across it.

    Args:
        title: what the chart is of.
        means: at least the candidate's.
        bounds: of the gate.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1

    def across(value: float) -> float:
        return _TRACK_LEFT + (_TRACK_RIGHT - _TRACK_LEFT) * (min(max(value, low), high) - low) / (high - low)

    drawn, told = [], []
    y = _FIRST_LINE
    for mean in means:
        drawn.append(f'<line class="axis" x1="{_TRACK_LEFT}" y1="{y}" x2="{_TRACK_RIGHT}" y2="{y}"/>')
        between = ""
        if mean.low is not None and mean.high is not None:
            ends = f'x1="{across(mean.low):.1f}" y1="{y}" x2="{across(mean.high):.1f}" y2="{y}"'
            drawn.append(f'<line class="{mean.whose} interval" {ends}/>')
            between = f", with 95 % confidence {mean.low:.4g} to {mean.high:.4g}"
        told.append(f"{mean.name} {mean.value:.4g}{between}")
        x = across(mean.value)
        drawn.append(
            f'<circle class="{mean.whose}" cx="{x:.1f}" cy="{y}" r="5.5"><title>{escape(told[-1])}</title></circle>'
        )
        drawn.append(_named_figure(mean.name, f"{mean.value:.3g}", y))
        y += _LINE
    drawn.append(_ends(low, high, _TRACK_LEFT, _TRACK_RIGHT, y - _LINE + 18))
    for bound in bounds:
        told.append(f"{bound.name} {bound.value:.4g}")
        x = across(bound.value)
        ends = f'x1="{x:.1f}" y1="{_FIRST_LINE - 12}" x2="{x:.1f}" y2="{y + 6}"'
        drawn.append(f'<line class="bound" {ends}><title>{escape(told[-1])}</title></line>')
        drawn.append(_named_figure(bound.name, f"≥ {bound.value:.3g}", y))
        y += _LINE
    return svg(f"{title}: {'; '.join(told)}", "".join(drawn), width=_WIDTH, height=y - _LINE + (12 if bounds else 24))


def _named(scores: Sequence[float], champion: Sequence[float]) -> list[tuple[str, Sequence[float]]]:
    return [("candidate", scores)] + ([("champion", champion)] if champion else [])


def _slots(scores: Sequence[float], low: float, high: float) -> _Slots:
    """Return a slot for each whole or half score where there are no others, as with a judge's ratings; else equal parts."""
    for step in (1.0, 0.5):
        values = [low + step * index for index in range(min(int((high - low) / step) + 1, _MOST_SINGLE + 1))]
        if len(values) <= _MOST_SINGLE and values[-1] == high and {*scores} <= {*values}:
            return _Slots(values, single=True)
    return _Slots([low + (high - low) * index / BINS for index in range(BINS + 1)], single=False)


def _ticks(most: int) -> list[int]:
    """Return round counts from 0 on, the last of which is not below `most`."""
    size = 1
    while (step := next((n * size for n in (1, 2, 5) if math.ceil(most / (n * size)) <= _MOST_TICKS), None)) is None:
        size *= 10
    return list(range(0, max(math.ceil(most / step), 1) * step + 1, step))


def _grid(ticks: Sequence[int]) -> Iterator[str]:
    for tick in ticks:
        y = _BASE - (_BASE - _TOP) * tick / ticks[-1]
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="right" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick}</text>'


def _ends(low: float, high: float, left: int, right: int, y: int) -> str:
    return f'<text x="{left}" y="{y}">{low:.4g}</text><text class="right" x="{right}" y="{y}">{high:.4g}</text>'


def _named_figure(name: str, figure: str, y: int) -> str:
    return (
        f'<text class="name" x="0" y="{y + 4}">{escape(name)}</text>'
        f'<text class="name right" x="{_WIDTH - 6}" y="{y + 4}">{figure}</text>'
    )
