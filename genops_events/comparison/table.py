"""A comparison as rows of tables: each answer's scores, and each contestant's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genops_events.evaluation.rows import Row
from genops_events.record.comparison import ComparedRow, ComparisonSummary, ContestantResult
from genops_events.tables.rows import TableRow, scored_rows
from genops_events.tables.schema import Column, Table

SUMMARY = Table(
    name="comparison",
    description="One row per contestant and metric; one row without a metric for a contestant without figures.",
    key=("comparison", "contestant", "metric"),
    day="ended_at",
    clusters=("dataset", "metric"),
    columns=(
        Column("comparison", "STRING", "Its id", "REQUIRED"),
        Column("dataset", "STRING", "Entry of genops.yaml", "REQUIRED"),
        Column("ended_at", "TIMESTAMP", "When the comparison ended", "REQUIRED"),
        Column("contestant", "STRING", "Its name", "REQUIRED"),
        Column("model", "STRING", "As it was asked for", "REQUIRED"),
        Column("candidate", "STRING", "Behind it; NULL for others than tuned models of the record"),
        Column("called", "STRING", "Published model or endpoint"),
        Column("status", "STRING", "completed, failed or refused", "REQUIRED"),
        Column("reason", "STRING", "Why it did not complete"),
        Column("metric", "STRING", "As genops.yaml names it"),
        Column("mean", "FLOAT", "Of all rows with a score"),
        Column("standard_deviation", "FLOAT", "Of the sample"),
        Column("low", "FLOAT", "Lower end of the 95 % confidence interval of the mean"),
        Column("high", "FLOAT", "Upper end"),
        Column("count", "INTEGER", "Rows with a score"),
        Column("failed", "INTEGER", "Rows without one"),
        Column("rows", "INTEGER", "Prompts"),
        Column("answered", "INTEGER", "Prompts with an answer"),
        Column("blocked", "INTEGER", "Answers that were blocked"),
        Column("cut", "INTEGER", "Answers that were cut"),
        Column("empty", "INTEGER", "Answers without text"),
        Column("input_tokens", "INTEGER", "Of all answers"),
        Column("output_tokens", "INTEGER", "Of all answers, thinking included"),
        Column("answers_usd", "NUMERIC", "Cost of the answers, no matter who paid"),
        Column("cost_usd", "NUMERIC", "Cost to this comparison; NULL if unknown"),
        Column("p50_seconds", "FLOAT", "Middle of the answers' times"),
        Column("p95_seconds", "FLOAT", "95th percentile of the answers' times"),
    ),
)
"""The columns of a comparison's `summary.parquet`; it is not loaded into BigQuery."""


def summary_rows(comparison: ComparisonSummary) -> list[TableRow]:
    """Return the figures: a row for each contestant and metric."""
    common = {"comparison": comparison.id, "dataset": comparison.dataset, "ended_at": comparison.ended_at}
    return [
        {**common, **_figures(one), **measured}
        for one in comparison.contestants
        for measured in ([{"metric": name, **_measured(one, name)} for name in one.metrics] or [{}])
    ]


def _figures(one: ContestantResult) -> dict[str, Any]:
    return {
        "contestant": one.name,
        "model": one.model,
        "candidate": one.candidate,
        "called": one.called,
        "status": one.status,
        "reason": one.reason or None,
        "rows": one.rows,
        "answered": one.answered,
        "blocked": one.blocked,
        "cut": one.cut,
        "empty": one.empty,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "answers_usd": one.answers_usd,
        "cost_usd": one.cost_usd,
        "p50_seconds": None if one.latency is None else one.latency.p50_seconds,
        "p95_seconds": None if one.latency is None else one.latency.p95_seconds,
    }


def _measured(one: ContestantResult, metric: str) -> dict[str, Any]:
    return one.metrics[metric].model_dump(include={"mean", "standard_deviation", "low", "high", "count", "failed"})


def evaluation_rows(comparison: ComparisonSummary, rows: Sequence[ComparedRow]) -> list[TableRow]:
    """Return the scores as rows of the table `evaluations`: one for each prompt, metric and contestant."""
    found: list[TableRow] = []
    for one in comparison.contestants:
        answered = [_row(row, one.name) for row in rows if one.name in row.answers]
        common = {
            "run": comparison.id,
            "contestant": one.name,
            "evaluated_at": comparison.ended_at,
            "dataset": comparison.dataset,
            "source": "comparison",
            "endpoint": one.called,
        }
        found += scored_rows(answered, common)
    return found


def _row(row: ComparedRow, contestant: str) -> Row:
    one = row.answers[contestant]
    return Row(
        id=row.id,
        prompt=row.prompt,
        reference=row.reference,
        answer=one.answer,
        state=one.state,
        finish_reason=one.finish_reason,
        scores=one.scores,
        explanations=one.explanations,
        failures=one.failures,
    )
