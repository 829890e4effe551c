"""What an evaluation found, in figures: per metric, and per condition of the gate. Parts of the record."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from genops_events.inference.endings import State, in_words

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
