"""Build requests to Vertex AI's evaluation service, and read its responses.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation. A test parses each request and response
with Google's own messages. Only the beta API takes a judge's model, samples and order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genops_events.catalogue.metrics import CANDIDATE_FIELD, CHAMPION_FIELD, COMPUTED, PAIRWISE, Metric
from genops_events.evaluation.rows import Score

if TYPE_CHECKING:
    from genops_events.config import Config

INSTANCES_PER_CALL = 50
"""Most instances in one call of a computed metric; a judge takes one."""
_WON = {"CANDIDATE": 1.0, "TIE": 0.5, "BASELINE": 0.0}


@dataclass(frozen=True, slots=True)
class AnswerToScore:
    """One answer with all that it is compared with."""

    prompt: str
    response: str
    reference: str | None = None
    champion_response: str | None = None


def request(config: Config, metric: Metric, batch: Sequence[AnswerToScore]) -> dict[str, Any]:
    """Return the request that scores `batch` by `metric`; a judge takes one answer at a time."""
    if metric.kind == "computed":
        asked = COMPUTED[metric.name]
        spec = {_camel(name): value for name, value in asked.spec.items()}
        instances = [{"prediction": one.response, "reference": one.reference or ""} for one in batch]
        return {f"{_camel(asked.input)}Input": {"metricSpec": spec, "instances": instances}}
    (one,) = batch
    shown = {"prompt": one.prompt, CANDIDATE_FIELD: one.response}
    if metric.needs_reference:
        shown["reference"] = one.reference or ""
    spec = {"metricPromptTemplate": metric.template}
    autorater: dict[str, Any] = {"samplingCount": metric.samples}
    if metric.judge_model:
        autorater["autoraterModel"] = _resource(config, metric.judge_model)
    if metric.name == PAIRWISE:
        shown[CHAMPION_FIELD] = one.champion_response or ""
        spec["candidateResponseFieldName"] = CANDIDATE_FIELD
        spec["baselineResponseFieldName"] = CHAMPION_FIELD
        # Half of the samples show the answers in reversed order, since judges tend to prefer one position.
        autorater["flipEnabled"] = True
    kind = "pairwise" if metric.name == PAIRWISE else "pointwise"
    instance = {"jsonInstance": json.dumps(shown, ensure_ascii=False)}
    return {f"{kind}MetricInput": {"metricSpec": spec, "instance": instance}, "autoraterConfig": autorater}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)


def _resource(config: Config, model: str) -> str:
    if model.startswith("projects/"):
        return model
    return f"projects/{config.project}/locations/{config.places.of_judge(model)}/publishers/google/models/{model}"


def scores(metric: Metric, response: Mapping[str, Any], *, count: int) -> list[Score]:
    """Return one score, or the reason why there is none, for each of the `count` instances of a request.

    If the service returns fewer values than instances, none of them has a score: values cannot be matched to instances.
    """
    if metric.kind != "computed":
        result = response.get("pairwiseMetricResult" if metric.name == PAIRWISE else "pointwiseMetricResult") or {}
        value = _WON.get(result.get("pairwiseChoice", "")) if metric.name == PAIRWISE else _number(result)
        return [Score.of(metric, value, result.get("explanation") or None)]
    asked = _camel(COMPUTED[metric.name].input)
    values = (response.get(f"{asked}Results") or {}).get(f"{asked}MetricValues") or []
    if len(values) != count:
        return [Score(None, f"{metric.name} gave {len(values)} scores for {count} rows")] * count
    return [Score.of(metric, _number(value)) for value in values]


def _number(value: Mapping[str, Any]) -> float | None:
    if value.get("score") is None:
        return None
    try:
        # NaN comes as the string "NaN". Scores are 32-bit floats: 0.7 may come as 0.699999988, and would fail a gate of 0.7.
        return float(f"{float(value['score']):.7g}")
    except (TypeError, ValueError):
        return None  # one rating that is not a number must not end the evaluation of all rows
