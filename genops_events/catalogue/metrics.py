"""The metrics that answers can be scored by: what each is called, needs, ranges over and is asked by.

Computed ones are Vertex AI's, by its names. Ready-made ones are rubrics for its judge; a dataset may add rubrics of its
own, and functions in Python. `pairwise` lets the judge choose between the candidate's answer and the champion's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from genops_events.catalogue.rubrics import (
    AGAINST_REFERENCE,
    READY_MADE,
    Rubric,
    pairwise_template,
    pointwise_template,
)

Kind = Literal["computed", "pointwise", "pairwise", "python"]

PAIRWISE = "pairwise"
"""Each row is 1 where the candidate's answer is the better one, 0 where the champion's is, and 0.5 for a tie."""
CANDIDATE_FIELD, CHAMPION_FIELD = "response", "baseline_model_response"
"""The names that Vertex AI's own pairwise templates use."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A metric that Vertex AI computes from answer and reference, many instances in a call."""

    input: str
    """The request's `<input>_input`, and the response's `<input>_results.<input>_metric_values`."""
    spec: Mapping[str, str | bool] = field(default_factory=dict)


COMPUTED: Mapping[str, Computed] = {
    "exact_match": Computed("exact_match"),
    "bleu": Computed("bleu"),
    "rouge": Computed("rouge", {"rouge_type": "rougeL"}),
    "rouge_1": Computed("rouge", {"rouge_type": "rouge1"}),
    "rouge_l": Computed("rouge", {"rouge_type": "rougeL"}),
    "rouge_l_sum": Computed("rouge", {"rouge_type": "rougeLsum"}),
    "tool_call_valid": Computed("tool_call_valid"),
    "tool_name_match": Computed("tool_name_match"),
    "tool_parameter_key_match": Computed("tool_parameter_key_match"),
    "tool_parameter_kv_match": Computed("tool_parameter_kv_match"),
}
"""By name; each is from 0 to 1. `rouge` is `rouge_l` under the name that it had first."""

TOOL_METRICS = tuple(name for name in COMPUTED if name.startswith("tool_"))
KNOWN_METRICS: tuple[str, ...] = (*COMPUTED, "pointwise", *READY_MADE, PAIRWISE)
"""Every metric that a configuration may name without defining it."""


@dataclass(frozen=True, slots=True)
class JudgeCalls:
    """Which judge is asked, and how often about each row."""

    model: str
    """Empty for Vertex AI's own choice."""
    samples: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as a dataset asks for it."""

    name: str
    kind: Kind
    needs_reference: bool
    low: float | None = None
    """Lowest score there is; None where nobody knows."""
    high: float | None = None
    template: str = ""
    """What the judge is asked; empty where there is no judge."""
    path: str = ""
    """`module:function` of a metric in Python."""
    judge_model: str = ""
    """The judge; empty for Vertex AI's own choice."""
    samples: int = 1
    """Calls of the judge for one row, of which Vertex AI makes one score."""

    @property
    def judged(self) -> bool:
        """Whether a judge model is asked, once for each row and sample."""
        return self.kind in {"pointwise", "pairwise"}

    def in_range(self, score: float) -> bool:
        """Return whether this metric can have this score at all; a number that is none is never in range."""
        return not math.isnan(score) and (self.low is None or self.high is None or self.low <= score <= self.high)

    def can_reach(self, least: float) -> bool:
        """Return whether a gate may ask for this: a mean can be so high. From 0 on it may be lower than any score is."""
        return self.low is None or self.high is None or min(self.low, 0.0) <= least <= self.high

    @property
    def fingerprint(self) -> str:
        """What tells this metric from another of the same name: a score counts again only where it is the same."""
        told = [self.name, self.kind, self.template, self.path, self.judge_model, self.samples]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def computed(name: str) -> Metric:
    """Return a metric that Vertex AI computes."""
    return Metric(name, "computed", needs_reference=True, low=0.0, high=1.0)


def pointwise(name: str, rubric: Rubric, judge: JudgeCalls) -> Metric:
    """Return a metric by which the judge rates one answer."""
    return Metric(
        name,
        "pointwise",
        needs_reference=rubric.show_reference,
        low=float(min(rubric.ratings)),
        high=float(max(rubric.ratings)),
        template=pointwise_template(rubric),
        judge_model=judge.model,
        samples=judge.samples,
    )


def ready_made(name: str, judge: JudgeCalls) -> Metric:
    """Return one of the metrics that need no definition: `pointwise`, or one of Vertex AI's examples."""
    rubric = AGAINST_REFERENCE if name == "pointwise" else READY_MADE[name]
    return pointwise(name, rubric, judge)


def pairwise(criteria: Mapping[str, str], *, show_reference: bool, judge: JudgeCalls) -> Metric:
    """Return the metric by which the judge chooses between the candidate's answer and the champion's."""
    return Metric(
        PAIRWISE,
        "pairwise",
        needs_reference=show_reference,
        low=0.0,
        high=1.0,
        template=pairwise_template(
            criteria, candidate=CANDIDATE_FIELD, champion=CHAMPION_FIELD, show_reference=show_reference
        ),
        judge_model=judge.model,
        samples=judge.samples,
    )


def python_metric(name: str, path: str) -> Metric:
    """Return a metric that a function computes; whether it needs a reference is its own affair."""
    return Metric(name, "python", needs_reference=False, path=path)
