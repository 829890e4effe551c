"""Documents and files of an evaluation beside its verdict, and their paths."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from genops_events.record.document import Document
from genops_events.record.endings import State, in_words
from genops_events.record.paths import folder


class EvaluationPlan(Document):
    """The champion that the candidate is compared with: settled when its evaluation begins, so that a retry has the same one."""

    SCHEMA: ClassVar[str] = "genops.evaluation-plan.v1"

    champion: str | None = None
    """The candidate that was champion when the plan was settled; None before the first promotion."""
    endpoint: str | None = None
    model: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    """The champion's means from its own evaluation."""


class EvaluationSummary(Document):
    """All figures of an evaluation; the verdict has those that decide."""

    SCHEMA: ClassVar[str] = "genops.evaluation-summary.v1"

    dataset: str
    champion: str | None = None
    metrics: dict[str, MetricSummary]
    conditions: tuple[Condition, ...]
    rows: int
    """Rows of the evaluation file, including those that were left out."""
    left_out: tuple[str, ...] = ()
    """Ids of the rows that are in the training file, too."""
    answers: Answers | None = None
    """Numbers of answered rows and of unusable answers."""
    failed_rows: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    """Number of rows without a score by cause; the most frequent 20 causes."""


def plan_path(candidate: str, round_: int = 0) -> str:
    """Return the path of the plan; each release of a held evaluation settles a new one."""
    return f"{folder(candidate)}evaluation-plan{f'-{round_}' if round_ else ''}.json"


def rows_path(candidate: str) -> str:
    """Return the path of the scored rows, one JSON line each."""
    return f"{folder(candidate)}evaluation-rows.jsonl"


def summary_path(candidate: str) -> str:
    """Return the path of the figures of the evaluation."""
    return f"{folder(candidate)}evaluation-summary.json"


def report_path(candidate: str) -> str:
    """Return the path of the report for people."""
    return f"{folder(candidate)}report.html"


def champion_answers_path(candidate: str) -> str:
    """Return the path of the champion's answers that this candidate's were compared with."""
    return f"{folder(candidate)}answers/evaluation-champion.jsonl"


def judgements_prefix(candidate: str) -> str:
    """Return the prefix of scores during the evaluation."""
    return f"{folder(candidate)}evaluation-parts/"


ConditionKind = Literal["minimum", "no_regression", "failed_rows"]


class MetricSummary(BaseModel):
    """One metric over all rows that have a score in it; without any such row, it has counts only."""

    model_config = ConfigDict(frozen=True)

    count: int
    """Rows with a score."""
    failed: int = 0
    """Rows without a score; they are not in the mean."""
    mean: float | None = None
    """For `pairwise`, the share of rows won against the champion; a tie counts as half a row."""
    standard_deviation: float | None = None
    low: float | None = None
    """Lower end of the 95 % confidence interval of the mean."""
    high: float | None = None
    champion_mean: float | None = None
    """The champion's mean, over `common_rows` where the rows of both are known."""
    common_rows: int | None = None
    """Rows that the champion has a score on, too, by the same metric."""
    common_mean: float | None = None
    """The candidate's mean over `common_rows`."""


class Answers(BaseModel):
    """Numbers of answered rows and of unusable answers, which have no score in any metric."""

    model_config = ConfigDict(frozen=True)

    asked: int = 0
    """Rows that were asked."""
    answered: int = 0
    """Rows with an answer, including blocked, cut and empty ones; Vertex AI refused the others."""
    blocked: int = 0
    """Answers that a filter stopped, or that ended before their own end for another reason."""
    cut: int = 0
    """Answers that were cut at the longest answer."""
    empty: int = 0
    """Answers without text and without a function call."""

    @property
    def unusable(self) -> dict[State, int]:
        """Number of unusable answers by state."""
        return {"blocked": self.blocked, "cut": self.cut, "empty": self.empty}

    @property
    def usable(self) -> int:
        """Number of rows with an answer that can be scored."""
        return self.answered - self.blocked - self.cut - self.empty

    @property
    def in_words(self) -> str:
        """A sentence with the numbers of answers that cannot be scored, by state; empty where all can."""
        refused = self.asked - self.answered
        parts = [in_words(self.unusable)] if self.answered > self.usable else []
        parts += [f"{refused:,} refused"] if refused else []
        if not parts:
            return ""
        return f"Of {self.asked:,} answers, {self.usable:,} can be scored: {', '.join(parts)}."


class Condition(BaseModel):
    """One condition of the gate: the figure, the bound, and whether it is met."""

    model_config = ConfigDict(frozen=True)

    kind: ConditionKind
    metric: str | None = None
    """None for `failed_rows`, which is about all metrics."""
    figure: float | None = None
    """None where it was not measured."""
    bound: float | None = None
    """The least that the figure must be (for `failed_rows`: the most); None where there is no champion to compare with."""
    passed: bool
    reason: str
