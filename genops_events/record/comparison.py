"""Documents of a comparison: its summary, the result of each contestant, and the rows side by side.

The id of a comparison has the form of a candidate id. A comparison that a promotion started has the id of the promoted
candidate; any other id is made from the Dag run. All files of a comparison are below `genops/comparisons/<id>/`.
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
"""`completed`: answered and scored, though some rows may have failed; `failed`: `reason` says why figures are missing or
incomplete; `refused`: nothing was asked, since it could go over a limit."""
ComparisonOutcome = Literal["completed", "failed", "refused"]
"""`completed`: at least one contestant has completed; `failed`: none has; `refused`: no model was asked, since it could go over a limit."""


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class Latency(_FrozenModel):
    """Time from request to answer, without the wait for the throttle."""

    count: int
    """Answers with a known time: those that were taken over from an evaluation have none."""
    p50_seconds: float
    p95_seconds: float


class Measured(_FrozenModel):
    """A metric that all contestants were measured by."""

    name: str
    kind: Kind
    low: float | None = None
    """Lowest possible score; None where there is no bound."""
    high: float | None = None

    @classmethod
    def of(cls, metric: Metric) -> Self:
        """Return name, kind and bounds of `metric`."""
        return cls(name=metric.name, kind=metric.kind, low=metric.low, high=metric.high)


class ContestantResult(_FrozenModel):
    """One contestant with its result. Unknown figures are None, never 0."""

    name: str
    """Its name in genops.yaml, the form or the command, which is unique in the comparison."""
    model: str
    """As it was asked for: `champion`, a candidate, a published model, or the resource name of an endpoint."""
    candidate: str | None = None
    """The candidate of a tuned model; None for published models and other endpoints."""
    called: str | None = None
    """The model that was called: a published model or an endpoint."""
    billed_model: str | None = None
    """The published model whose prices apply."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own settings, with the keys of genops.yaml: `temperature`, `grounding`, …"""
    system_instruction: str | None = None
    """In place of the dataset's; None for the dataset's; empty for none."""
    status: ContestantStatus
    reason: str = ""
    """Why it did not complete, or a note about its result; may be empty."""
    help: str | None = None
    """What to do about it."""
    metrics: dict[str, MetricSummary] = Field(default_factory=dict)
    """By name: mean, standard deviation, count, failures and interval."""
    rows: int = 0
    """Number of prompts."""
    answered: int = 0
    """Prompts with an answer, including blocked, cut and empty ones, which have no score."""
    blocked: int = 0
    cut: int = 0
    empty: int = 0
    failed_rows: int = 0
    """Rows without a score in some metric."""
    failures: dict[str, int] = Field(default_factory=dict)
    """Number of rows without a score by cause; the most frequent 20 causes."""
    cost_usd: Decimal | None = Decimal(0)
    """Cost to this comparison: answers and judge, without those that were paid for before. Null where it is unknown."""
    answers_usd: Decimal | None = None
    """Cost of its answers by their tokens, no matter who paid: contestants are compared by it. None without answers."""
    judge_usd: Decimal | None = None
    """Estimated cost of judging its answers."""
    estimated_usd: Decimal | None = None
    """The sum that was reserved."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    """Tokens of answers and thinking."""
    latency: Latency | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def unusable(self) -> dict[State, int]:
        """Number of its unusable answers by state."""
        return {"blocked": self.blocked, "cut": self.cut, "empty": self.empty}


class ComparisonSummary(Document):
    """The summary of a comparison that has ended."""

    SCHEMA: ClassVar[str] = "genops.comparison.v1"

    candidate: str
    """The comparison's id; after a promotion, that of the promoted candidate."""
    number: int = 1
    """Number of its ends: if its Dag run is cleared, contestants that did not complete try again."""
    dataset: str
    outcome: ComparisonOutcome
    reason: str
    """One or two sentences about the outcome, with the contestants that did not complete."""
    started_by: Literal["promotion", "person"]
    champion: str | None = None
    """The candidate that was champion when it began."""
    prompts: str
    """gs:// address of the file of prompts (and references)."""
    rows: int = 0
    """Number of prompts in the file."""
    metrics: tuple[Measured, ...] = ()
    """The metrics, in the order of genops.yaml."""
    contestants: tuple[ContestantResult, ...] = ()
    """The results, in the order of the request."""
    notes: tuple[str, ...] = ()
    """Notes about all contestants, such as a metric that was left out."""
    cost_usd: Decimal | None = Decimal(0)
    """Cost of the comparison: a lower bound if that of a contestant is unknown; null where no cost is known."""
    estimated_usd: Decimal | None = None
    """The most that it could cost: the sum that was reserved, or refused."""
    missing_usd: Decimal | None = None
    """If it was refused: the sum by which the limits are too low."""
    started_at: datetime
    ended_at: datetime
    rows_uri: str | None = None
    """Rows as JSON Lines, one `ComparedRow` each."""
    parquet_uri: str | None = None
    """The same rows for the table `evaluations`: one for each prompt, metric and contestant."""
    report_uri: str | None = None

    @property
    def id(self) -> str:
        """The comparison's id."""
        return self.candidate

    @property
    def cost_text(self) -> str:
        """Cost of the comparison as text: `$0.4900`, `at least $0.4900`, or `unknown`."""
        if self.cost_usd is None:
            return "unknown"
        is_least = any(one.cost_usd is None for one in self.contestants)
        return f"{'at least ' if is_least else ''}${self.cost_usd:.4f}"

    def contestant(self, name: str) -> ContestantResult | None:
        """Return the contestant of this name; None where there is none."""
        return next((one for one in self.contestants if one.name == name), None)


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """One contestant's answer to one prompt."""

    answer: str | None = None
    """None where there is no answer: `failures` says why."""
    state: State | None = None
    """None where there is no answer."""
    finish_reason: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    explanations: dict[str, str] = field(default_factory=dict)
    """The judge's explanations, by metric."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why there is no score, by metric."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    """Time that the answer took; None where it is not known."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One prompt with the answers of all contestants."""

    id: str
    """The `id` of the file, or `line-7`."""
    prompt: str
    reference: str | None = None
    answers: Mapping[str, ComparedAnswer] = field(default_factory=dict)
    """By the contestant's name, without contestants that never began; one that failed has the answers until then."""

    def to_json_line(self) -> str:
        """Return the row as a line of JSON, without its empty fields."""
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
        """Return a row from its JSON; fields that this version does not know are ignored."""
        known = ComparedAnswer.__dataclass_fields__
        answers = {
            name: ComparedAnswer(**{key: one[key] for key in known if key in one})
            for name, one in value.get("answers", {}).items()
        }
        return cls(id=value["id"], prompt=value["prompt"], reference=value.get("reference"), answers=answers)


def latency_of(seconds: Iterable[float]) -> Latency | None:
    """Return median and 95th percentile (nearest rank) of the answers' times; None where no time is known."""
    known = sorted(seconds)
    if not known:
        return None
    return Latency(count=len(known), p50_seconds=_percentile(known, 50), p95_seconds=_percentile(known, 95))


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the percentile by nearest rank."""
    rank = -(-len(ordered) * percent // 100)
    return round(ordered[max(rank, 1) - 1], 3)
