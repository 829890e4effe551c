"""The part `evaluation` of a dataset in `genops.yaml`: what is measured, by whom it is judged, and what must be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import InitErrorDetails

from genops_events.catalogue import metrics as kinds
from genops_events.catalogue.metrics import COMPUTED, KNOWN_METRICS, PAIRWISE, Metric
from genops_events.catalogue.partners import plain_name, refusal
from genops_events.catalogue.rubrics import PAIRWISE_CRITERIA, Rubric
from genops_events.config.values import ConfigPart, MaxOutputTokens, ObjectName, unique_items
from genops_events.reading.problems import raise_wrongs, wrong, wrong_value

MOST_SAMPLES = 32
"""Vertex AI's bound: `AutoraterConfig.sampling_count`."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_JUDGE = re.compile(r"[a-z0-9][a-z0-9.-]*|projects/[^/]+/locations/[^/]+/(publishers/[^/]+/models|endpoints)/[^/]+")

Score = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Margin = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


def _named_criteria(value: Any) -> Any:
    """Accept one text in place of named criteria."""
    if value in ("", {}):
        raise wrong_value("Input should say what a good answer is")
    return {"Criteria": value} if isinstance(value, str) else value


def _import_path(value: str) -> str:
    if _PATH.fullmatch(value) is None:
        raise wrong_value("Input should be module:function, e.g. `my_package.metrics:brevity`")
    return value


def _judge_model(value: str) -> str:
    value = plain_name(value)
    if (refused := refusal(value)) is not None:
        raise wrong_value(f"Input should be {refused}")
    if _JUDGE.fullmatch(value) is None:
        raise wrong_value(
            "Input should be a published model, e.g. gemini-3.5-flash, or projects/…/locations/…/endpoints/… of a tuned one"
        )
    return value


Criteria = Annotated[dict[str, str], BeforeValidator(_named_criteria)]


class OwnMetric(ConfigPart):
    """A metric of your own: the judge rates each answer by it."""

    criteria: Criteria
    """What a good answer is: one text, or several by name."""
    rating_rubric: Annotated[dict[int, str], Field(min_length=2)]
    """What each rating means, e.g. {5: perfect, 1: useless}; a higher rating is a better one."""
    show_reference: bool = False
    """Whether the judge sees the reference answer, too."""


class Pairwise(ConfigPart):
    """How the judge chooses between the candidate's answer and the champion's."""

    criteria: Criteria = Field(default=dict(PAIRWISE_CRITERIA))
    """What a better answer is: one text, or several by name."""
    show_reference: bool = True
    """Whether the judge sees the reference answer, too."""


class Judge(ConfigPart):
    """The model that judges."""

    model: Annotated[str, AfterValidator(_judge_model)] | None = None
    """A published model, or the endpoint of a tuned one; Vertex AI's choice if not given."""
    samples: Annotated[int, Field(strict=True, ge=1, le=MOST_SAMPLES)] = 4
    """Times that the judge is asked about each row (and is paid for), of which one score is made."""


class Evaluation(ConfigPart):
    """How a tuned model is judged."""

    file: ObjectName
    """Evaluation examples as JSONL with `prompt` and `reference`: an object in the bucket, outside every watched prefix."""
    metrics: Annotated[tuple[str, ...], AfterValidator(unique_items)]
    """What is measured: Vertex AI's computed metrics, ready-made ones for its judge, `pairwise`, and your own."""
    decisive: str = Field(default_factory=lambda data: _first_absolute(data["metrics"]))
    """The metric that is compared with the champion's; the first of `metrics` but `pairwise` if not given."""
    gate: dict[str, Score] = Field(default={})
    """Least mean score for each metric named here; of `pairwise`, the least share of rows won."""
    no_regression: dict[str, Margin] = Field(default={})
    """For each metric named here, how far its mean may be below the champion's."""
    failed_rows: Annotated[int, Field(strict=True, ge=0)] = 0
    """Most rows that may be left without a score."""
    margin: Margin = 0.0
    """A challenger must beat the champion's decisive score by more than this."""
    max_output_tokens: MaxOutputTokens | None = None
    """Longest answer to an evaluation prompt; `inference.max_output_tokens` if not given. All else is as `inference` says."""
    judge: Judge = Judge()
    """The model that judges."""
    own_metrics: dict[str, OwnMetric] = Field(default={})
    """Metrics of your own for the judge, by name: criteria and rating rubric."""
    python_metrics: dict[str, Annotated[str, AfterValidator(_import_path)]] = Field(default={})
    """Metrics of your own in Python, by name: module:function, called with prompt, response and reference."""
    pairwise: Pairwise = Pairwise()
    """How the judge chooses between the candidate's answer and the champion's."""

    @model_validator(mode="after")
    def _check_metrics(self) -> Evaluation:
        raise_wrongs([*self._wrong_names(), *self._wrong_bounds()])
        return self

    def _wrong_names(self) -> Iterator[InitErrorDetails]:
        known = self.known_metrics
        for number, name in enumerate(self.metrics):
            if name not in known:
                yield wrong(("metrics", number), name, f"Input should be one of {', '.join(known)}", known)
        for key, names in (("own_metrics", self.own_metrics), ("python_metrics", self.python_metrics)):
            for name in names:
                if _NAME.fullmatch(name) is None:
                    text = "Input should be a name of lower-case letters, digits and `_`, a letter first"
                    yield wrong((key, name), name, text)
                elif name in KNOWN_METRICS or (key == "python_metrics" and name in self.own_metrics):
                    yield wrong((key, name), name, "Input should have a name that no other metric has")
        if PAIRWISE in self.metrics and self.judge.samples % 2:
            text = (
                "Input should be even: for `pairwise`, half of the samples are asked with the answers in turned order"
            )
            yield wrong(("judge", "samples"), self.judge.samples, text)

    def _wrong_bounds(self) -> Iterator[InitErrorDetails]:
        measured = f"Input should be one of the metrics of this dataset: {', '.join(self.metrics)}"
        if self.decisive == PAIRWISE:
            text = (
                "Input should be a metric other than pairwise: a champion's share of rows won was against another model"
            )
            yield wrong(("decisive",), self.decisive, text)
        elif self.decisive not in self.metrics:
            yield wrong(("decisive",), self.decisive, measured, self.metrics)
        for name in self.no_regression:
            if name not in self.metrics:
                yield wrong(("no_regression", name), name, measured, self.metrics)
            elif name == PAIRWISE:
                text = "Input should be under `gate`: pairwise is measured against the champion anyway"
                yield wrong(("no_regression", name), name, text)
        for name, least in self.gate.items():
            if name not in self.metrics:
                yield wrong(("gate", name), name, measured, self.metrics)
            elif (metric := self._metric(name)) is not None and not metric.can_reach(least):
                text = f"Input should be from {metric.low:g} to {metric.high:g}: {name} is never outside"
                yield wrong(("gate", name), least, text)

    @property
    def known_metrics(self) -> tuple[str, ...]:
        """Every metric that may be named here: those that need no definition, and this dataset's own."""
        return (*KNOWN_METRICS, *self.own_metrics, *self.python_metrics)

    def measured(self, names: Sequence[str] | None = None) -> tuple[Metric, ...]:
        """Return the metrics of this dataset, in the order of `metrics`; or those of `names`, in their order."""
        wanted = self.metrics if names is None else names
        return tuple(metric for name in wanted if (metric := self._metric(name)) is not None)

    def _metric(self, name: str) -> Metric | None:
        judge = kinds.JudgeCalls(self.judge.model or "", self.judge.samples)
        if name in COMPUTED:
            return kinds.computed(name)
        if name == PAIRWISE:
            asked = self.pairwise
            return kinds.pairwise(asked.criteria, show_reference=asked.show_reference, judge=judge)
        if name in KNOWN_METRICS:
            return kinds.ready_made(name, judge)
        if (own := self.own_metrics.get(name)) is not None:
            rubric = Rubric(own.criteria, own.rating_rubric, show_reference=own.show_reference)
            return kinds.pointwise(name, rubric, judge)
        path = self.python_metrics.get(name)
        return None if path is None else kinds.python_metric(name, path)

    @property
    def needs_reference(self) -> tuple[str, ...]:
        """The metrics that cannot score a row without a reference."""
        return tuple(metric.name for metric in self.measured() if metric.needs_reference)


def _first_absolute(metrics: tuple[str, ...]) -> str:
    return next((name for name in metrics if name != PAIRWISE), PAIRWISE)


USUAL_JUDGE = "gemini-3.5-flash"
"""Whose prices count where the judge is Vertex AI's own choice: it does not tell which. The dearest of those that public
texts name: Gemini 2.0 Flash (https://cloud.google.com/vertex-ai/generative-ai/docs/models/prompt-judge-model, which is
retired), 2.5 Flash, and 3.5 Flash, which the newer SDK pins its judge metrics to (changelog of python-aiplatform 1.164.0)."""


def priced_as(evaluation: Evaluation) -> str:
    """Return the model of the price table whose prices the judge has; a tuned one is there by the name of its endpoint."""
    return (evaluation.judge.model or USUAL_JUDGE).rpartition("/models/")[2]
