"""The figures of a report: the main figures, the conditions of the gate, and a line for each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genops_events.catalogue.metrics import PAIRWISE
from genops_events.evaluation.rows import Row, answers_in
from genops_events.record.endings import in_words
from genops_events.record.evaluation import Condition, ConditionKind, MetricSummary
from genops_events.reports import Signal, Tile, number

_KINDS: Mapping[ConditionKind, tuple[str, str]] = {
    "minimum": ("minimum", "≥"),
    "no_regression": ("no regression", "≥"),
    "failed_rows": ("failed rows", "≤"),
}


@dataclass(frozen=True, slots=True)
class ConditionLine:
    """A condition of the gate."""

    state: Signal
    outcome: str
    metric: str
    kind: str
    figure: str
    bound: str
    reason: str


@dataclass(frozen=True, slots=True)
class MetricLine:
    """A metric over all rows."""

    metric: str
    is_decisive: bool
    mean: str
    interval: str
    champion_mean: str
    same_rows: str
    """The candidate's mean on the rows that the champion was scored on; empty if that is every row."""
    standard_deviation: str
    count: int
    failed: int


def tiles(
    rows: Sequence[Row],
    figures: Mapping[str, MetricSummary],
    conditions: Sequence[Condition],
    decisive: str,
    *,
    champion: bool,
) -> list[Tile]:
    """Return the main figures, which are shown first.

    Args:
        rows: all of them.
        figures: by metric.
        conditions: of the gate.
        decisive: the metric that decides.
        champion: whether there is a champion.
    """
    found = figures.get(decisive, MetricSummary(count=0))
    asked = [row for row in rows if row.left_out is None]
    whole = [row for row in asked if row.scores and not row.failures]
    left_out = len(rows) - len(asked)
    met = sum(one.passed for one in conditions)
    between = _interval(found)
    answers = answers_in(rows)
    all_usable = "all complete" if answers.usable == answers.asked else "the others were refused"
    against = "every row is held against it" if decisive == PAIRWISE else f"mean of {decisive}"
    return [
        Tile(f"{decisive} (decisive)", number(found.mean), f"95 %: {between}" if between else "no interval"),
        Tile("champion", number(found.champion_mean), against if champion else "no champion yet"),
        Tile("conditions met", f"{met} of {len(conditions)}", "of the gate" if conditions else "no gate is set"),
        Tile("answers to score", f"{answers.usable} of {answers.asked}", in_words(answers.unusable) or all_usable),
        Tile(
            "rows scored in full",
            f"{len(whole)} of {len(asked)}",
            f"{left_out} left out" if left_out else "none left out",
        ),
    ]


def condition_lines(conditions: Sequence[Condition]) -> list[ConditionLine]:
    """Return the conditions of the gate, with figure and bound of each."""
    lines = []
    for one in conditions:
        kind, sign = _KINDS[one.kind]
        lines.append(
            ConditionLine(
                state="passed" if one.passed else "refused",
                outcome="pass" if one.passed else "fail",
                metric=one.metric or "all metrics",
                kind=kind,
                figure=number(one.figure),
                bound=number(None) if one.bound is None else f"{sign} {number(one.bound)}",
                reason=one.reason,
            )
        )
    return lines


def metric_lines(figures: Mapping[str, MetricSummary], decisive: str) -> list[MetricLine]:
    """Return each metric with its figures."""
    lines = []
    for name, one in figures.items():
        same = ""
        if one.common_rows is not None and one.common_rows != one.count:
            same = f"candidate {number(one.common_mean)} on these {one.common_rows} rows"
        lines.append(
            MetricLine(
                metric=name,
                is_decisive=name == decisive,
                mean=number(one.mean),
                interval=_interval(one),
                champion_mean=number(one.champion_mean),
                same_rows=same,
                standard_deviation=number(one.standard_deviation),
                count=one.count,
                failed=one.failed,
            )
        )
    return lines


def _interval(found: MetricSummary) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"
