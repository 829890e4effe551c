"""The metrics for answers: name, kind, range, need of a reference, and the judge's template.

Computed metrics are those of Vertex AI, by its names. Ready-made ones are rubrics for its judge; a dataset may add rubrics of
its own, and functions in Python. By `pairwise`, the judge chooses between the candidate's answer and the champion's.
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
"""A row has 1 if the candidate's answer is better, 0 if the champion's is, and 0.5 for a tie."""
CANDIDATE_FIELD, CHAMPION_FIELD = "response", "baseline_model_response"
"""The names that Vertex AI's own pairwise templates use."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A metric that Vertex AI computes from answer and reference, for many instances in a call."""

    input: str
    """Part of the fields' names: `<input>_input` in the request, `<input>_results.<input>_metric_values` in the response."""
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
"""By name; each is from 0 to 1. `rouge` is the former name of `rouge_l`."""

TOOL_METRICS = tuple(name for name in COMPUTED if name.startswith("tool_"))
KNOWN_METRICS: tuple[str, ...] = (*COMPUTED, "pointwise", *READY_MADE, PAIRWISE)
"""Every metric that a configuration may name without defining it."""


@dataclass(frozen=True, slots=True)
class JudgeCalls:
    """The judge, and the number of its calls for each row."""

    model: str
    """Empty for Vertex AI's default."""
    samples: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a dataset."""

    name: str
    kind: Kind
    needs_reference: bool
    low: float | None = None
    """Lowest possible score; None where there is no bound."""
    high: float | None = None
    template: str = ""
    """Prompt template of the judge; empty where there is no judge."""
    path: str = ""
    """`module:function` of a metric in Python."""
    judge_model: str = ""
    """The judge; empty for Vertex AI's default."""
    samples: int = 1
    """Calls of the judge for one row, which Vertex AI combines into one score."""

    @property
    def judged(self) -> bool:
        """Whether a judge model is asked, once for each row and sample."""
        return self.kind in {"pointwise", "pairwise"}

    def in_range(self, score: float) -> bool:
        """Return whether this metric can have this score; NaN is never in range."""
        return not math.isnan(score) and (self.low is None or self.high is None or self.low <= score <= self.high)

    def can_reach(self, least: float) -> bool:
        """Return whether a gate may have this bound: a mean can be that high. A bound may be below every score, down to 0."""
        return self.low is None or self.high is None or min(self.low, 0.0) <= least <= self.high

    @property
    def fingerprint(self) -> str:
        """Hash of all settings of the metric: a kept score is reused only if it is the same."""
        settings = [self.name, self.kind, self.template, self.path, self.judge_model, self.samples]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


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
    """Return a metric that a function in Python computes; the function itself decides what to do without a reference."""
    return Metric(name, "python", needs_reference=False, path=path)
