"""Put a metric into the words of Vertex AI's evaluation service, and read what it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genops_events.catalogue.metrics import CANDIDATE_FIELD, CHAMPION_FIELD, COMPUTED, PAIRWISE, Metric
from genops_events.evaluation.rows import Score

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import EvaluateInstancesResponse

    from genops_events.config import Config

INSTANCES_PER_CALL = 50
"""Computed metrics score many instances in one call; a judge takes one."""
_WON = {"CANDIDATE": 1.0, "TIE": 0.5, "BASELINE": 0.0}


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer beside what it is compared with."""

    prompt: str
    response: str
    reference: str | None = None
    champion_response: str | None = None


def request(config: Config, metric: Metric, batch: Sequence[Scored]) -> dict[str, Any]:
    """Return the request that scores `batch` by `metric`; a judge takes one answer at a time."""
    if metric.kind == "computed":
        asked = COMPUTED[metric.name]
        instances = [{"prediction": one.response, "reference": one.reference or ""} for one in batch]
        return {f"{asked.input}_input": {"metric_spec": dict(asked.spec), "instances": instances}}
    (one,) = batch
    shown = {"prompt": one.prompt, CANDIDATE_FIELD: one.response}
    if metric.needs_reference:
        shown["reference"] = one.reference or ""
    spec: dict[str, Any] = {"metric_prompt_template": metric.template}
    autorater: dict[str, Any] = {"sampling_count": metric.samples}
    if metric.judge_model:
        autorater["autorater_model"] = _resource(config, metric.judge_model)
    if metric.name == PAIRWISE:
        shown[CHAMPION_FIELD] = one.champion_response or ""
        spec["candidate_response_field_name"] = CANDIDATE_FIELD
        spec["baseline_response_field_name"] = CHAMPION_FIELD
        # Half of the samples show the answers in turned order: a judge tends to prefer one place.
        autorater["flip_enabled"] = True
    kind = "pairwise" if metric.name == PAIRWISE else "pointwise"
    instance = {"json_instance": json.dumps(shown, ensure_ascii=False)}
    return {
        f"{kind}_metric_input": {"metric_spec": spec, "instance": instance},
        "autorater_config": autorater,
    }


def _resource(config: Config, model: str) -> str:
    if model.startswith("projects/"):
        return model
    return f"projects/{config.project}/locations/{config.places.of_judge(model)}/publishers/google/models/{model}"


def scores(metric: Metric, response: EvaluateInstancesResponse, *, count: int) -> list[Score]:
    """Return one score for each of the `count` instances of a request, or why there is none.

    A service that answers fewer values than it was asked for leaves all without a score: nobody knows whose are missing.
    """
    if metric.name == PAIRWISE:
        result = response.pairwise_metric_result
        choice = _WON.get(result.pairwise_choice.name)
        return [Score.of(metric, choice, result.explanation or None)]
    if metric.kind == "pointwise":
        result = response.pointwise_metric_result
        return [Score.of(metric, _number(result), result.explanation or None)]
    asked = COMPUTED[metric.name].input
    values = getattr(getattr(response, f"{asked}_results"), f"{asked}_metric_values")
    if len(values) != count:
        return [Score(None, f"{metric.name} gave {len(values)} scores for {count} rows")] * count
    return [Score.of(metric, _number(value)) for value in values]


def _number(value: Any) -> float | None:
    if "score" not in value:
        return None
    # Scores are 32-bit floats: 0.7 comes as 0.699999988, which would fail a gate of 0.7.
    return float(f"{value.score:.7g}")
