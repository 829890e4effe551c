"""The page: verdict, conditions, figures with charts, the worst rows, and the rows without a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from genops_events.catalogue.metrics import Metric
from genops_events.evaluation.report.charts import MetricCharts, metric_charts, shows_bounds
from genops_events.evaluation.report.failures import Failures, NamedRows, Unusable, failures, named, unusable
from genops_events.evaluation.report.figures import (
    ConditionLine,
    MetricLine,
    condition_lines,
    metric_lines,
    tiles,
)
from genops_events.evaluation.report.rows import RowCard, row_card
from genops_events.evaluation.rows import Row, worst
from genops_events.record.evaluation import Condition, MetricSummary
from genops_events.reports import Signal, Tile, VerdictBox, html_page, short

WORST_ROWS = 10
_REASON_CHARACTERS = 2_000
_PACKAGE = "genops_events.evaluation.report"


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of the report."""

    candidate: str
    dataset: str
    champion: str | None
    passed: bool
    reason: str
    decisive: str
    metrics: Sequence[Metric]
    figures: Mapping[str, MetricSummary]
    conditions: Sequence[Condition]
    rows: Sequence[Row]
    written_at: datetime


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """The page as the template `report.html.j2` reads it."""

    title: str
    state: Signal
    dataset: str
    champion: str | None
    written_at: str
    verdict: VerdictBox
    tiles: Sequence[Tile]
    conditions: Sequence[ConditionLine]
    figures: Sequence[MetricLine]
    charts: Sequence[MetricCharts]
    shows_bounds: bool
    decisive: str
    worst: Sequence[RowCard]
    failures: Failures | None
    unusable: Unusable | None
    left_out: NamedRows | None


def report_html(report: Report) -> str:
    """Return the report as one HTML document, in which prompts and answers are escaped: text, and never markup."""
    return html_page(_PACKAGE, page_of(report))


def page_of(report: Report) -> EvaluationPage:
    """Return the page of a report; of the rows it has the worst ones, and ids of at most 50 of the others."""
    state: Signal = "passed" if report.passed else "refused"
    failed = [row for row in report.rows if row.failures]
    left_out = [row for row in report.rows if row.left_out is not None]
    return EvaluationPage(
        title=f"Evaluation of {report.candidate}",
        state=state,
        dataset=report.dataset,
        champion=report.champion,
        written_at=f"{report.written_at:%Y-%m-%d %H:%M} UTC",
        verdict=VerdictBox(state, state.capitalize(), short(report.reason, _REASON_CHARACTERS)),
        tiles=tiles(report.rows, report.figures, report.conditions, report.decisive, champion=bool(report.champion)),
        conditions=condition_lines(report.conditions),
        figures=metric_lines(report.figures, report.decisive),
        charts=metric_charts(report.metrics, report.figures, report.conditions, report.rows),
        shows_bounds=shows_bounds(report.conditions),
        decisive=report.decisive,
        worst=[row_card(row, report.decisive) for row in worst(report.rows, report.decisive, WORST_ROWS)],
        failures=failures(failed) if failed else None,
        unusable=unusable(failed),
        left_out=named(left_out) if left_out else None,
    )
