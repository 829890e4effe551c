"""What a comparison leaves in the record: who took part, what each reached and cost, and the rows side by side.

A comparison has an id of the form of a candidate id. One that a promotion started has that of the promoted candidate; any
other one is made from its Dag run. Everything about it lies below `genops/comparisons/<id>/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from genops_events.catalogue.metrics import Kind, Metric
from genops_events.record.document import Document
from genops_events.record.endings import State
from genops_events.record.evaluation import MetricSummary

ContestantStatus = Literal["completed", "failed", "refused"]
"""`completed`: answered and scored, rows that failed included; `failed`: `reason` says why it has no figures, or no whole
ones; `refused`: nothing was asked, since a limit does not allow what it may cost."""
ComparisonOutcome = Literal["completed", "failed", "refused"]
"""`completed`: at least one contestant has; `failed`: none has; `refused`: nobody was asked, for money."""


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class Latency(_FrozenModel):
    """How long answers took, from the request to its answer, without the wait for the throttle."""

    count: int
    """Answers whose time is known: those that were taken over from an evaluation have none."""
    p50_seconds: float
    p95_seconds: float


class Measured(_FrozenModel):
    """A metric that all contestants were measured by."""

    name: str
    kind: Kind
    low: float | None = None
    """Lowest score there is; None where nobody knows."""
    high: float | None = None

    @classmethod
    def of(cls, metric: Metric) -> Self:
        """Return what is to be known of `metric`."""
        return cls(name=metric.name, kind=metric.kind, low=metric.low, high=metric.high)


class ContestantResult(_FrozenModel):
    """One contestant: what it is, and what came of it. What is not known is None, never 0."""

    name: str
    """How genops.yaml, the form or the command calls it; none other in the comparison is called so."""
    model: str
    """As it was asked for: `champion`, a candidate, a published model, or the resource name of an endpoint."""
    candidate: str | None = None
    """The candidate behind it; None for others than tuned models of the record."""
    called: str | None = None
    """What was asked: a published model or an endpoint."""
    billed_model: str | None = None
    """The published model whose prices count."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What it is told about how to answer beyond the others, with the keys of genops.yaml: `temperature`, `grounding`, …"""
    system_instruction: str | None = None
    """In place of the dataset's; None where it has that one; empty for none."""
    status: ContestantStatus
    reason: str = ""
    """Why it did not complete, or what is to be known of it; empty where there is nothing to say."""
    help: str | None = None
    """What to do about it."""
    metrics: dict[str, MetricSummary] = Field(default_factory=dict)
    """By name: mean, standard deviation, count, failures and interval."""
    rows: int = 0
    """Prompts that it was to answer."""
    answered: int = 0
    """Prompts that have an answer, blocked, cut and empty ones too: those have no score."""
    blocked: int = 0
    cut: int = 0
    empty: int = 0
    failed_rows: int = 0
    """Rows that have no score in some metric."""
    failures: dict[str, int] = Field(default_factory=dict)
    """How often each cause left a row without a score; the most frequent 20."""
    cost_usd: Decimal | None = Decimal(0)
    """What this comparison spent on it: answers and judge, but not what was paid for before. Null where nobody knows."""
    answers_usd: Decimal | None = None
    """What its answers cost by their tokens, whoever paid for them: what contestants are compared by. None without answers."""
    judge_usd: Decimal | None = None
    """What judging its answers costs, by an estimate."""
    estimated_usd: Decimal | None = None
    """What was reserved for it."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    """With those of thinking."""
    latency: Latency | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def unusable(self) -> dict[State, int]:
        """How many of its answers are none, by state."""
        return {"blocked": self.blocked, "cut": self.cut, "empty": self.empty}


class ComparisonSummary(Document):
    """A comparison that has ended, whole: the summary."""

    SCHEMA: ClassVar[str] = "genops.comparison.v1"

    candidate: str
    """The comparison's id: where a promotion started it, the promoted candidate."""
    number: int = 1
    """How often it has ended: who clears its Dag run lets those try again that did not complete."""
    dataset: str
    outcome: ComparisonOutcome
    reason: str
    """One or two sentences: how it went, who is missing and why."""
    started_by: Literal["promotion", "person"]
    champion: str | None = None
    """The candidate that was champion when it began."""
    prompts: str
    """gs:// address of the file of prompts (and references)."""
    rows: int = 0
    """Of that file."""
    metrics: tuple[Measured, ...] = ()
    """What was measured, in the order of genops.yaml."""
    contestants: tuple[ContestantResult, ...] = ()
    """In the order in which they were named."""
    notes: tuple[str, ...] = ()
    """What is to be known of all of them, such as a metric that was left out."""
    cost_usd: Decimal | None = Decimal(0)
    """What the comparison spent: the least, where nobody knows what a contestant cost; null where nothing of it is known."""
    estimated_usd: Decimal | None = None
    """What it could cost at most: reserved, or asked for where it was refused."""
    missing_usd: Decimal | None = None
    """Where it was refused: how much the limits in its way would have to be higher."""
    started_at: datetime
    ended_at: datetime
    rows_uri: str | None = None
    """Rows as JSON Lines, one `ComparedRow` each."""
    parquet_uri: str | None = None
    """The same as rows of the table `evaluations`: one for each prompt, metric and contestant."""
    report_uri: str | None = None

    @property
    def id(self) -> str:
        """The comparison's id."""
        return self.candidate

    @property
    def cost_told(self) -> str:
        """What the comparison spent, in words: `$0.4900`, `at least $0.4900`, or `unknown`."""
        if self.cost_usd is None:
            return "unknown"
        is_least = any(one.cost_usd is None for one in self.contestants)
        return f"{'at least ' if is_least else ''}${self.cost_usd:.4f}"

    def contestant(self, name: str) -> ContestantResult | None:
        """Return the contestant of this name; None where there is none."""
        return next((one for one in self.contestants if one.name == name), None)


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """What one contestant made of one prompt."""

    answer: str | None = None
    """None where there is none: `failures` says why."""
    state: State | None = None
    """None where there is no answer."""
    finish_reason: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    explanations: dict[str, str] = field(default_factory=dict)
    """The judge's words, by metric."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why there is no score, by metric."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    """How long the answer took; None where it is not known."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One prompt, and what every contestant made of it."""

    id: str
    """As the file names it, or `line-7`."""
    prompt: str
    reference: str | None = None
    answers: Mapping[str, ComparedAnswer] = field(default_factory=dict)
    """By the contestant's name. Who never began is not there; who failed on the way is there as far as it came."""

    def to_json_line(self) -> str:
        """Return the row as a line of JSON; what is empty is left out."""
        row: dict[str, Any] = {"id": self.id, "prompt": self.prompt}
        if self.reference is not None:
            row["reference"] = self.reference
        row["answers"] = {
            name: {key: value for key, value in asdict(one).items() if value not in (None, {})}
            for name, one in self.answers.items()
        }
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return a row as it was written; what a later version may have added is passed over."""
        known = ComparedAnswer.__dataclass_fields__
        answers = {
            name: ComparedAnswer(**{key: one[key] for key in known if key in one})
            for name, one in value.get("answers", {}).items()
        }
        return cls(id=value["id"], prompt=value["prompt"], reference=value.get("reference"), answers=answers)


def latency_of(seconds: Iterable[float]) -> Latency | None:
    """Return the middle and the 95th percentile (nearest rank) of how long answers took; None where no time is known."""
    known = sorted(seconds)
    if not known:
        return None
    return Latency(count=len(known), p50_seconds=_percentile(known, 50), p95_seconds=_percentile(known, 95))


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least this share is not above."""
    rank = -(-len(ordered) * percent // 100)
    return round(ordered[max(rank, 1) - 1], 3)
