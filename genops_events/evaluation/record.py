"""What an evaluation leaves in the record beside its verdict, and where."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genops_events.evaluation.summary import Answers, Condition, MetricSummary
from genops_events.record import Document
from genops_events.record_paths import folder


class EvaluationPlan(Document):
    """Whom the candidate is held against: settled when its evaluation begins, so that a retry goes on with the same."""

    SCHEMA: ClassVar[str] = "genops.evaluation-plan.v1"

    champion: str | None = None
    """The candidate that was champion then; None before the first promotion."""
    endpoint: str | None = None
    model: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    """The champion's means when it was evaluated itself."""


class EvaluationSummary(Document):
    """The figures of an evaluation, whole; the verdict has what decides."""

    SCHEMA: ClassVar[str] = "genops.evaluation-summary.v1"

    dataset: str
    champion: str | None = None
    metrics: dict[str, MetricSummary]
    conditions: tuple[Condition, ...]
    rows: int
    """Rows of the evaluation file, those that were left out too."""
    left_out: tuple[str, ...] = ()
    """Ids of the rows that stand in the training file."""
    answers: Answers | None = None
    """How many rows were answered, and how many of the answers are none."""
    failed_rows: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    """How often each cause left a row without a score; the first 20."""


def plan_path(candidate: str, round_: int = 0) -> str:
    """Return where it is written whom the candidate is held against; each release of a held evaluation settles it anew."""
    return f"{folder(candidate)}evaluation-plan{f'-{round_}' if round_ else ''}.json"


def rows_path(candidate: str) -> str:
    """Return where the scored rows lie, one JSON line each."""
    return f"{folder(candidate)}evaluation-rows.jsonl"


def summary_path(candidate: str) -> str:
    """Return where the figures of the evaluation lie."""
    return f"{folder(candidate)}evaluation-summary.json"


def report_path(candidate: str) -> str:
    """Return where the report for people lies."""
    return f"{folder(candidate)}report.html"


def champion_answers_path(candidate: str) -> str:
    """Return where the champion's answers lie that this candidate's were compared with."""
    return f"{folder(candidate)}answers/evaluation-champion.jsonl"


def judgements_prefix(candidate: str) -> str:
    """Return where scores lie while the evaluation is under way."""
    return f"{folder(candidate)}evaluation-parts/"
