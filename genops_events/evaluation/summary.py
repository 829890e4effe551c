"""What an evaluation found, in figures: per metric, and per condition of the gate. Parts of the record."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

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
