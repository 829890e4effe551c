"""Two charts for each metric: the distribution of the scores, and the means beside the gate's bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.evaluation.rows import Row
from genops_events.evaluation.statistics import histogram
from genops_events.record.evaluation import Condition, ConditionKind, MetricSummary
from genops_events.reports import Bar, Chart, ChartText, Dot, Line, Shape, number

BINS = 10
_WIDTH = 400
_LEFT, _RIGHT, _TOP, _BASE = 34, 394, 22, 132
"""Edges of the bars; counts are left of them."""
_TRACK_LEFT, _TRACK_RIGHT, _FIRST_LINE, _LINE = 106, 338, 20, 26
"""Edges of the points; names are left of them, figures right."""
_MOST_TICKS = 4
_WIDEST_BAR = 40
_MOST_SINGLE = 11
_RADIUS = 5.5
_BOUNDS: Mapping[ConditionKind, str] = {"minimum": "minimum", "no_regression": "no regression"}
"""Conditions whose bound is drawn."""


@dataclass(frozen=True, slots=True)
class MetricCharts:
    """The charts of a metric, with a note about them."""

    metric: str
    distribution: Chart
    means: Chart
    note: str


@dataclass(frozen=True, slots=True)
class _Slots:
    """How scores are counted on the axis: at each possible value, or between two edges."""

    edges: Sequence[float]
    single: bool

    @property
    def labels(self) -> list[str]:
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

    side: Literal["candidate", "champion"]
    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of the gate, for a mean."""

    name: str
    value: float


def shows_bounds(conditions: Sequence[Condition]) -> bool:
    """Return whether a bound of the gate is drawn in a chart."""
    return any(one.kind in _BOUNDS and one.bound is not None for one in conditions)


def metric_charts(
    metrics: Sequence[Metric],
    figures: Mapping[str, MetricSummary],
    conditions: Sequence[Condition],
    rows: Sequence[Row],
) -> list[MetricCharts]:
    """Return the charts of each metric that has a mean.

    Args:
        metrics: in the order in which they are drawn.
        figures: by metric.
        conditions: of the gate.
        rows: all of them.
    """
    return [
        _charts(metric, found, found.mean, conditions, rows)
        for metric in metrics
        if (found := figures.get(metric.name)) is not None and found.mean is not None
    ]


def _charts(
    metric: Metric, found: MetricSummary, mean: float, conditions: Sequence[Condition], rows: Sequence[Row]
) -> MetricCharts:
    own = [row.scores[metric.name] for row in rows if metric.name in row.scores]
    champions = [row.champion_scores[metric.name] for row in rows if metric.name in row.champion_scores]
    means, notes = _means(metric, found, mean)
    bounds = [
        Bound(_BOUNDS[one.kind], one.bound)
        for one in conditions
        if one.metric == metric.name and one.kind in _BOUNDS and one.bound is not None
    ]
    seen = [*own, *champions, *(one.value for one in means), *(one.value for one in bounds)]
    low = min(seen) if metric.low is None else metric.low
    high = max(seen) if metric.high is None else metric.high
    return MetricCharts(
        metric=metric.name,
        distribution=distribution(metric.name, own, champions, low=low, high=high),
        means=comparison(f"Means of {metric.name}", means, bounds, low=low, high=high),
        note="; ".join(notes),
    )


def _means(metric: Metric, found: MetricSummary, mean: float) -> tuple[list[Mean], list[str]]:
    """Return the means that are drawn, and notes about them."""
    means = [Mean("candidate", "candidate", mean, found.low, found.high)]
    notes = ["1: won against the champion, 0.5: tie, 0: lost"] if metric.name == PAIRWISE else []
    if found.champion_mean is not None:
        if found.common_mean is not None and number(found.common_mean) != number(mean):
            means.append(Mean("candidate", "on same rows", found.common_mean))
            notes.append(f"same rows: the {found.common_rows} that the champion was scored on, too")
        means.append(Mean("champion", "champion", found.champion_mean))
    return means, notes


def distribution(title: str, scores: Sequence[float], champion: Sequence[float], *, low: float, high: float) -> Chart:
    """Return a histogram of the scores: bars of the candidate, and beside them those of the champion, if it has scores.

    Args:
        title: name of the metric, for screen readers.
        scores: of the candidate.
        champion: scores of the champion; empty where it has none.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1
    slots = _slots([*scores, *champion], low, high)
    groups = [(name, slots.counts(one)) for name, one in _named(scores, champion)]
    ticks = _ticks(max((count for _, counts in groups for count in counts), default=0))
    step = (_RIGHT - _LEFT) / len(slots.labels)
    width = min((step - 6) / len(groups), _WIDEST_BAR)
    bars = []
    for place, (name, counts) in enumerate(groups):
        for index, count in enumerate(counts):
            if not count:
                continue
            height = max(2.0, (_BASE - _TOP) * count / ticks[-1])
            x = _LEFT + (index + 0.5) * step + (place - len(groups) / 2) * width
            label = f"{name} {count} {'row' if count == 1 else 'rows'} {slots.labels[index]}"
            bars.append(Bar(name, x + 0.75, _BASE - height, width - 1.5, height, label))
    drawn = [ChartText("", _LEFT, 11, "rows"), *_grid(ticks), *bars, Line("axis", _LEFT, _BASE, _RIGHT, _BASE)]
    if slots.single:
        for index, value in enumerate(slots.edges):
            drawn.append(ChartText("middle", _LEFT + (index + 0.5) * step, _BASE + 17, f"{value:.4g}"))
    else:
        drawn += _ends(low, high, _LEFT, _RIGHT, _BASE + 17)
        drawn.append(ChartText("middle", (_LEFT + _RIGHT) / 2, _BASE + 17, f"{(low + high) / 2:.4g}"))
    heard = f"Distribution of {title}: {'; '.join(bar.title for bar in bars)}"
    return Chart(heard, _WIDTH, _BASE + 26, drawn)


def comparison(title: str, means: Sequence[Mean], bounds: Sequence[Bound], *, low: float, high: float) -> Chart:
    """Return a chart of means as points on one axis, with the gate's bounds as lines across it.

    Args:
        title: of the chart, for screen readers.
        means: at least the candidate's.
        bounds: of the gate.
        low: left end of the axis.
        high: right end of the axis.
    """
    high = high if high > low else low + 1

    def across(value: float) -> float:
        return _TRACK_LEFT + (_TRACK_RIGHT - _TRACK_LEFT) * (min(max(value, low), high) - low) / (high - low)

    drawn: list[Shape] = []
    labels: list[str] = []
    y = _FIRST_LINE
    for mean in means:
        drawn.append(Line("axis", _TRACK_LEFT, y, _TRACK_RIGHT, y))
        between = ""
        if mean.low is not None and mean.high is not None:
            drawn.append(Line(f"{mean.side} interval", across(mean.low), y, across(mean.high), y))
            between = f", with 95 % confidence {mean.low:.4g} to {mean.high:.4g}"
        labels.append(f"{mean.name} {mean.value:.4g}{between}")
        drawn.append(Dot(mean.side, across(mean.value), y, _RADIUS, labels[-1]))
        drawn += _named_figure(mean.name, f"{mean.value:.3g}", y)
        y += _LINE
    drawn += _ends(low, high, _TRACK_LEFT, _TRACK_RIGHT, y - _LINE + 18)
    for bound in bounds:
        labels.append(f"{bound.name} {bound.value:.4g}")
        x = across(bound.value)
        drawn.append(Line("bound", x, _FIRST_LINE - 12, x, y + 6, labels[-1]))
        drawn += _named_figure(bound.name, f"≥ {bound.value:.3g}", y)
        y += _LINE
    return Chart(f"{title}: {'; '.join(labels)}", _WIDTH, y - _LINE + (12 if bounds else 24), drawn)


def _named(scores: Sequence[float], champion: Sequence[float]) -> list[tuple[str, Sequence[float]]]:
    return [("candidate", scores)] + ([("champion", champion)] if champion else [])


def _slots(scores: Sequence[float], low: float, high: float) -> _Slots:
    """Return a slot for each whole or half score if there are no others, as with a judge's ratings; else equal parts."""
    for step in (1.0, 0.5):
        values = [low + step * index for index in range(min(int((high - low) / step) + 1, _MOST_SINGLE + 1))]
        if len(values) <= _MOST_SINGLE and values[-1] == high and {*scores} <= {*values}:
            return _Slots(values, single=True)
    return _Slots([low + (high - low) * index / BINS for index in range(BINS + 1)], single=False)


def _ticks(most: int) -> list[int]:
    """Return round counts from 0 up to at least `most`."""
    size = 1
    while (step := next((n * size for n in (1, 2, 5) if math.ceil(most / (n * size)) <= _MOST_TICKS), None)) is None:
        size *= 10
    return list(range(0, max(math.ceil(most / step), 1) * step + 1, step))


def _grid(ticks: Sequence[int]) -> Iterator[Shape]:
    for tick in ticks:
        y = _BASE - (_BASE - _TOP) * tick / ticks[-1]
        yield Line("grid", _LEFT, y, _RIGHT, y)
        yield ChartText("right", _LEFT - 6, y + 4, str(tick))


def _ends(low: float, high: float, left: int, right: int, y: int) -> Iterator[Shape]:
    yield ChartText("", left, y, f"{low:.4g}")
    yield ChartText("right", right, y, f"{high:.4g}")


def _named_figure(name: str, figure: str, y: int) -> Iterator[Shape]:
    yield ChartText("name", 0, y + 4, name)
    yield ChartText("name right", _WIDTH - 6, y + 4, figure)
