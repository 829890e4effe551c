"""What an evaluation leaves in the record beside its verdict, and where."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from genops_events.record.document import Document
from genops_events.record.endings import State, in_words
from genops_events.record.paths import folder


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


ConditionKind = Literal["minimum", "no_regression", "failed_rows"]


class MetricSummary(BaseModel):
    """One metric over all rows that have a score in it. Without any such row there are counts only."""

    model_config = ConfigDict(frozen=True)

    count: int
    """Rows with a score."""
    failed: int = 0
    """Rows that could not be scored; they are in no mean."""
    mean: float | None = None
    """Of `pairwise`, the share of rows won against the champion; a tie is half a row."""
    standard_deviation: float | None = None
    low: float | None = None
    """Lower end of the 95 % confidence interval of the mean."""
    high: float | None = None
    champion_mean: float | None = None
    """The champion's mean, over `common_rows` where the rows of both are known."""
    common_rows: int | None = None
    """Rows that the champion was scored on in the same way, too."""
    common_mean: float | None = None
    """The candidate's mean over `common_rows`."""


class Answers(BaseModel):
    """How many rows were answered, and how many of the answers are none: those have no score in any metric."""

    model_config = ConfigDict(frozen=True)

    asked: int = 0
    """Rows that were asked about."""
    answered: int = 0
    """Rows that have an answer, those that are blocked, cut or empty too; Vertex AI refused the others."""
    blocked: int = 0
    """Stopped by a filter, or ended for another reason than their own."""
    cut: int = 0
    """At the longest answer."""
    empty: int = 0
    """Without a text and without a call of a function."""

    @property
    def unusable(self) -> dict[State, int]:
        """How many answers are none, by state."""
        return {"blocked": self.blocked, "cut": self.cut, "empty": self.empty}

    @property
    def usable(self) -> int:
        """How many rows have an answer that can be scored."""
        return self.answered - self.blocked - self.cut - self.empty

    @property
    def in_words(self) -> str:
        """How many rows have no answer to score, and why; empty where all have one."""
        refused = self.asked - self.answered
        told = [in_words(self.unusable)] if self.answered > self.usable else []
        told += [f"{refused:,} refused"] if refused else []
        if not told:
            return ""
        return f"Of {self.asked:,} answers, {self.usable:,} can be scored: {', '.join(told)}."


class Condition(BaseModel):
    """One condition of the gate: the figure, the bound, and whether it is met."""

    model_config = ConfigDict(frozen=True)

    kind: ConditionKind
    metric: str | None = None
    """None for `failed_rows`, which is about all metrics."""
    figure: float | None = None
    """None where nothing was measured."""
    bound: float | None = None
    """What the figure must not fall below (of `failed_rows`: not exceed); None where there is no champion to hold it against."""
    passed: bool
    reason: str
