"""Quality against cost: a chart for each metric, and a legend of the numbers beside the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genops_events.comparison.report.chart import Point, dollars, quality_against_cost
from genops_events.comparison.report.contestant_name import ContestantName, contestant_name
from genops_events.comparison.report.summary import thousand_usd
from genops_events.record.comparison import ComparisonSummary, ContestantResult, Measured
from genops_events.reports import Chart


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A contestant with its figures, or the reason why it is not in the chart."""

    who: ContestantName
    figures: str


@dataclass(frozen=True, slots=True)
class MetricChart:
    """The chart of one metric."""

    metric: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class Trade:
    """The charts of all metrics in which a contestant has a mean and a known cost: at least one."""

    first: MetricChart
    legend: Sequence[LegendEntry]
    """All contestants, with their figures in the first chart."""
    others: Sequence[MetricChart]


def trade(comparison: ComparisonSummary) -> Trade | None:
    """Return the charts; None where there is nothing to draw."""
    drawn = [(metric, points) for metric in comparison.metrics if (points := _points(comparison, metric))]
    if not drawn:
        return None
    first, *others = [
        MetricChart(metric.name, quality_against_cost(metric.name, points, low=metric.low, high=metric.high))
        for metric, points in drawn
    ]
    return Trade(first, _legend(comparison, *drawn[0]), others)


def _points(comparison: ComparisonSummary, metric: Measured) -> list[Point]:
    return [
        Point(place, one.name, figures.mean, figures.low, figures.high, cost)
        for place, one in enumerate(comparison.contestants, start=1)
        if (figures := one.metrics.get(metric.name)) is not None
        and figures.mean is not None
        and (cost := thousand_usd(one)) is not None
    ]


def _legend(comparison: ComparisonSummary, metric: Measured, points: Sequence[Point]) -> list[LegendEntry]:
    """Return the contestant of each number, with those that are not in the chart."""
    drawn = {point.number: f"{point.quality:.4g} for {dollars(point.cost_usd)}" for point in points}
    return [
        LegendEntry(contestant_name(place, one.name), drawn.get(place) or f"not in the chart: {_why_not(one, metric)}")
        for place, one in enumerate(comparison.contestants, start=1)
    ]


def _why_not(one: ContestantResult, metric: Measured) -> str:
    if one.status != "completed":
        return one.status
    figures = one.metrics.get(metric.name)
    return f"no {'score' if figures is None or figures.mean is None else 'known cost'}"
