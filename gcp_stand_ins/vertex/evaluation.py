"""evaluateInstances: Vertex AI's computed metrics, and the way to its judge and its tool metrics. No I/O."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from gcp_stand_ins.vertex.errors import as_object, invalid, not_implemented
from gcp_stand_ins.vertex.judging import Judge, pairwise, pointwise, read_judge
from gcp_stand_ins.vertex.tool_calls import TOOL_METRICS

_ROUGE_TYPE = re.compile(r"rouge[1-9]|rougeL|rougeLsum")


def evaluate(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `EvaluateInstancesResponse` of a request.

    Raises:
        ApiError: the request is not valid, or names a metric that is not here.
    """
    inputs = [field for field in body if field.endswith(("Input", "metrics", "metricSource"))]
    if len(inputs) != 1:
        raise invalid(f"Exactly one metric input must be set; found {', '.join(inputs) or 'none'}.")
    (field,) = inputs
    metric = _METRICS.get(field)
    if metric is None:
        raise not_implemented(f"evaluateInstances with {field}; known: {', '.join(sorted(_METRICS))}")
    judge = read_judge(body)
    given = as_object(body[field], field)
    return metric(given, as_object(given.get("metricSpec"), f"{field}.metricSpec"), judge)


def _pairs(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return prediction and reference of each instance."""
    instances = given.get("instances")
    if not isinstance(instances, list) or not instances:
        raise invalid("instances must hold at least one instance.")
    pairs = []
    for index, one in enumerate(instances):
        instance = as_object(one, f"instances[{index}]")
        # A field that the client left empty is not sent: an empty prediction is a prediction.
        prediction, reference = instance.get("prediction", ""), instance.get("reference")
        if not isinstance(prediction, str) or not isinstance(reference, str):
            raise invalid(f"instances[{index}] must have texts in `prediction` and `reference`.")
        pairs.append((prediction, reference))
    return pairs


def _exact_match(given: Mapping[str, Any], _spec: Mapping[str, Any], _judge: Judge) -> dict[str, Any]:
    """Return 1 where prediction and reference are the same text, 0 elsewhere."""
    scores = [{"score": float(prediction == reference)} for prediction, reference in _pairs(given)]
    return {"exactMatchResults": {"exactMatchMetricValues": scores}}


def _bleu(given: Mapping[str, Any], spec: Mapping[str, Any], _judge: Judge) -> dict[str, Any]:
    """Return sentence BLEU by sacrebleu, from 0 to 1."""
    pairs = _pairs(given)
    from sacrebleu.metrics import BLEU

    # It warns that a sentence wants the effective order; the caller says what is wanted.
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    bleu = BLEU(effective_order=bool(spec.get("useEffectiveOrder")))
    scores = [{"score": bleu.sentence_score(prediction, [reference]).score / 100.0} for prediction, reference in pairs]
    return {"bleuResults": {"bleuMetricValues": scores}}


def _rouge(given: Mapping[str, Any], spec: Mapping[str, Any], _judge: Judge) -> dict[str, Any]:
    """Return the F-measure of rouge_score's `rougeType`."""
    pairs = _pairs(given)
    kind = spec.get("rougeType") or "rougeL"
    if not isinstance(kind, str) or not _ROUGE_TYPE.fullmatch(kind):
        raise invalid(f"rouge_type must be rouge1 to rouge9, rougeL or rougeLsum; found {kind!r}.")
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=bool(spec.get("useStemmer")))
    if kind == "rougeLsum" and spec.get("splitSummaries"):
        # Our own split: the one in rouge_score wants a download from NLTK.
        pairs = [(_one_sentence_a_line(prediction), _one_sentence_a_line(reference)) for prediction, reference in pairs]
    scores = [{"score": float(scorer.score(reference, prediction)[kind].fmeasure)} for prediction, reference in pairs]
    return {"rougeResults": {"rougeMetricValues": scores}}


def _one_sentence_a_line(text: str) -> str:
    return re.sub(r"(?<=[.!?])\s+", "\n", text)


def _tool_metric(name: str) -> Callable[[Mapping[str, Any], Mapping[str, Any], Judge], dict[str, Any]]:
    def scored(given: Mapping[str, Any], spec: Mapping[str, Any], _judge: Judge) -> dict[str, Any]:
        strict = bool(spec.get("useStrictStringMatch"))
        scores = [
            {"score": TOOL_METRICS[name](prediction, reference, strict)} for prediction, reference in _pairs(given)
        ]
        return {f"{name}Results": {f"{name}MetricValues": scores}}

    return scored


_METRICS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Judge], dict[str, Any]]] = {
    "exactMatchInput": _exact_match,
    "bleuInput": _bleu,
    "rougeInput": _rouge,
    "pointwiseMetricInput": pointwise,
    "pairwiseMetricInput": pairwise,
    **{f"{name}Input": _tool_metric(name) for name in TOOL_METRICS},
}
