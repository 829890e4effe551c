"""One evaluated row with its answers and scores, and the figures of all rows together."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.evaluation.statistics import Statistics, describe, win_rate
from genops_events.record.digest import digest
from genops_events.record.endings import State, counted, ending
from genops_events.record.evaluation import Answers, MetricSummary

CAUSES_KEPT = 20
_OWN_WORDS = re.compile(r"(\S+ failed: \w+): .*", re.DOTALL)
"""Failure of a metric in Python: its name and that of the exception, then the exception's message."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one metric for one row: a score, or the reason why there is none."""

    score: float | None
    failure: str | None = None
    """Why there is no score; a row without a score is counted as such, never as 0."""
    explanation: str | None = None
    """The judge's explanation."""

    @classmethod
    def of(cls, metric: Metric, value: float | None, explanation: str | None = None) -> Score:
        """Return the result for the value that `metric` gave: a failure if the value is missing or out of range."""
        if value is None:
            return cls(None, f"{metric.name} gave no score", explanation)
        if not metric.in_range(value):
            where = "" if metric.low is None else f" from {metric.low:g} to {metric.high:g}"
            return cls(None, f"{metric.name} gave {value:g}, which is no score{where}", explanation)
        if value in (float("inf"), float("-inf")):
            return cls(None, f"{metric.name} gave {value:g}, which is no score", explanation)
        return cls(value, None, explanation)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the evaluation file, answered and scored as far as it could be."""

    id: str
    prompt: str
    reference: str | None = None
    answer: str | None = None
    """None where the row was left out, or could not be answered."""
    state: State | None = None
    """State of the answer: a cut, blocked or empty one has no score. None where there is no answer."""
    finish_reason: str | None = None
    champion_answer: str | None = None
    champion_state: State | None = None
    left_out: str | None = None
    """Why the row is not scored; None where it is."""
    scores: dict[str, float] = field(default_factory=dict)
    explanations: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why there is no score, by metric."""
    measures: dict[str, str] = field(default_factory=dict)
    """Fingerprint of each metric, which differs between two metrics of the same name."""
    champion_scores: dict[str, float] = field(default_factory=dict)
    """The champion's scores on the same row, by the same metrics."""

    @property
    def key(self) -> str:
        """Digest of prompt and reference; the same row has the same key in another evaluation."""
        return digest(self.prompt, self.reference)

    def to_json_line(self) -> str:
        """Return the row as a line of JSON, without its empty fields."""
        kept = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        return json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Row:
        """Return a row from its JSON; fields that this version does not know are ignored."""
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        if "state" not in known and "finish_reason" in known:  # written by a version without states
            known["state"] = ending(known["finish_reason"], says=bool(str(known.get("answer", "")).strip())).state
        return cls(**known)


def summarise(
    rows: Sequence[Row], metrics: Sequence[Metric], champion_means: Mapping[str, float]
) -> dict[str, MetricSummary]:
    """Return the figures of each metric that has a result for any row.

    Args:
        rows: all of them; those that were left out are not counted.
        metrics: of the evaluation.
        champion_means: the champion's means from its own evaluation, for metrics without common rows.
    """
    scored = [row for row in rows if row.left_out is None]
    return {
        metric.name: _summary(metric.name, scored, champion_means.get(metric.name))
        for metric in metrics
        if any(metric.name in row.scores or metric.name in row.failures for row in scored)
    }


def _summary(name: str, rows: Sequence[Row], champion_mean: float | None) -> MetricSummary:
    scores = [row.scores[name] for row in rows if name in row.scores]
    failed = sum(name in row.failures for row in rows)
    found = win_rate(scores) if name == PAIRWISE else describe(scores)
    if found is None:
        return MetricSummary(count=0, failed=failed)
    common = [row for row in rows if name in row.scores and name in row.champion_scores]
    figures = _figures(found)
    if common:
        figures |= {
            "champion_mean": fmean(row.champion_scores[name] for row in common),
            "common_rows": len(common),
            "common_mean": fmean(row.scores[name] for row in common),
        }
    elif champion_mean is not None and name != PAIRWISE:
        figures["champion_mean"] = champion_mean
    return MetricSummary(failed=failed, **figures)


def _figures(found: Statistics) -> dict[str, Any]:
    return {
        "count": found.count,
        "mean": found.mean,
        "standard_deviation": found.standard_deviation,
        "low": found.low,
        "high": found.high,
    }


def failed_rows(rows: Iterable[Row]) -> int:
    """Return the number of rows without a score in some metric."""
    return sum(bool(row.failures) for row in rows)


def answers_in(rows: Iterable[Row]) -> Answers:
    """Return the numbers of rows that were asked, of their answers, and of the unusable answers by state."""
    states = [row.state for row in rows if row.left_out is None]
    given = [state for state in states if state is not None]
    return Answers(asked=len(states), answered=len(given), **counted(given))


def causes(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of rows without a score by cause, the most frequent causes first.

    Causes go into verdict and event, and so to Airflow. The message of an exception in a Python metric may have the row's
    text in it, and stays in the file of rows.
    """
    counted = Counter(_OWN_WORDS.sub(r"\1", failure) for row in rows for failure in row.failures.values())
    return dict(counted.most_common(CAUSES_KEPT))


def worst(rows: Iterable[Row], metric: str, count: int = 10) -> list[Row]:
    """Return the rows with the lowest scores in `metric`, the lowest first; those with equal scores in the file's order."""
    return sorted((row for row in rows if metric in row.scores), key=lambda row: row.scores[metric])[:count]
