"""evaluateInstances: Vertex AI's computed metrics, and a judge that is a formula. No I/O."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from genops_events.local.vertex.errors import as_object, invalid, not_implemented
from genops_events.local.vertex.tokens import text_of

_ROUGE_TYPE = re.compile(r"rouge[1-9]|rougeL|rougeLsum")
_PLACEHOLDER = re.compile(r"\{\s*(\w+)\s*\}")
_WORD = re.compile(r"[^\W_]+")
_RESPONSE_FIELDS = ("response", "prediction", "candidate_response", "answer")
_REFERENCE_FIELDS = ("reference", "ground_truth", "golden_answer", "expected")
_PROMPT_FIELDS = ("prompt", "instruction", "context", "question")


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
    given = as_object(body[field], field)
    return metric(given, as_object(given.get("metricSpec"), f"{field}.metricSpec"))


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


def _exact_match(given: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
    """Return 1 where prediction and reference are the same text, 0 elsewhere."""
    scores = [{"score": float(prediction == reference)} for prediction, reference in _pairs(given)]
    return {"exactMatchResults": {"exactMatchMetricValues": scores}}


def _bleu(given: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentence BLEU by sacrebleu, from 0 to 1."""
    pairs = _pairs(given)
    from sacrebleu.metrics import BLEU

    # It warns that a sentence wants the effective order; the caller says what is wanted.
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    bleu = BLEU(effective_order=bool(spec.get("useEffectiveOrder")))
    scores = [{"score": bleu.sentence_score(prediction, [reference]).score / 100.0} for prediction, reference in pairs]
    return {"bleuResults": {"bleuMetricValues": scores}}


def _rouge(given: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
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


def _pointwise(given: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a judge's score from 1 to 5: 1 + 4 times the F1 of the words that the response shares with the reference.

    Where there is no reference, with the prompt.
    """
    instance = _judged_instance(given, spec)
    response = _first(instance, _RESPONSE_FIELDS)
    if response is None:
        raise invalid(f"The instance needs a response: one of {', '.join(_RESPONSE_FIELDS)}.")
    field, target = _yardstick(instance)
    score = _grade(response, target)
    explanation = f"The response shares {_overlap(response, target):.0%} of its words (F1) with the {field}."
    result: dict[str, Any] = {"score": score, "explanation": explanation}
    return {"pointwiseMetricResult": _shaped(result, spec)}


def _pairwise(given: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choice of a judge that scores both responses as the pointwise one does."""
    instance = _judged_instance(given, spec)
    names = {
        "CANDIDATE": spec.get("candidateResponseFieldName") or "response",
        "BASELINE": spec.get("baselineResponseFieldName") or "baseline_model_response",
    }
    for name in names.values():
        if name not in instance:
            raise invalid(f"The instance has no field {name!r}; it has {', '.join(sorted(instance))}.")
    field, target = _yardstick(instance)
    grades = {choice: _grade(instance[name], target) for choice, name in names.items()}
    choice = "TIE"
    if grades["CANDIDATE"] != grades["BASELINE"]:
        choice = max(grades, key=lambda one: grades[one])
    explanation = (
        f"By words shared with the {field}, the candidate has {grades['CANDIDATE']:.2f} of 5 "
        f"and the baseline {grades['BASELINE']:.2f}."
    )
    return {"pairwiseMetricResult": _shaped({"pairwiseChoice": choice, "explanation": explanation}, spec)}


def _judged_instance(given: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that a judge is shown, by field.

    Raises:
        ApiError: there is no instance, or it lacks what the prompt template mentions.
    """
    template = spec.get("metricPromptTemplate")
    if not isinstance(template, str) or not template:
        raise invalid("metric_spec.metric_prompt_template is required.")
    instance = as_object(given.get("instance"), "instance")
    if "jsonInstance" in instance:
        try:
            fields = msgspec.json.decode(instance["jsonInstance"])
        except (msgspec.DecodeError, TypeError):
            fields = None
        if not isinstance(fields, dict):
            raise invalid("instance.json_instance must be a JSON object in a string.")
        texts = {field: value if isinstance(value, str) else str(value) for field, value in fields.items()}
    elif "contentMapInstance" in instance:
        values = as_object(instance["contentMapInstance"], "instance.content_map_instance").get("values")
        texts = {
            field: "".join(text_of(one, where=field) for one in as_object(value, field).get("contents") or [])
            for field, value in as_object(values, "instance.content_map_instance.values").items()
        }
    else:
        raise invalid("instance.json_instance or instance.content_map_instance is required.")
    if missing := sorted(set(_PLACEHOLDER.findall(template)) - set(texts)):
        raise invalid(f"The metric prompt template mentions {', '.join(missing)}, which the instance does not have.")
    return texts


def _first(instance: Mapping[str, str], fields: tuple[str, ...]) -> str | None:
    return next((instance[field] for field in fields if field in instance), None)


def _yardstick(instance: Mapping[str, str]) -> tuple[str, str]:
    """Return what a response is compared with, and its name."""
    for kind, fields in (("reference", _REFERENCE_FIELDS), ("prompt", _PROMPT_FIELDS)):
        found = _first(instance, fields)
        if found is not None:
            return kind, found
    raise invalid(f"The instance needs one of {', '.join((*_REFERENCE_FIELDS, *_PROMPT_FIELDS))} to judge by.")


def _overlap(response: str, target: str) -> float:
    """Return the F1 of the sets of words of two texts, whatever their case."""
    said, wanted = (set(_WORD.findall(text.casefold())) for text in (response, target))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * len(said & wanted) / (len(said) + len(wanted))


def _grade(response: str, target: str) -> float:
    return 1.0 + 4.0 * _overlap(response, target)


def _shaped(result: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result, or the raw text of it where the caller has asked for that."""
    if as_object(spec.get("customOutputFormatConfig"), "custom_output_format_config").get("returnRawOutput"):
        return {"customOutput": {"rawOutputs": {"rawOutput": [msgspec.json.encode(result).decode()]}}}
    return result


_METRICS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "exactMatchInput": _exact_match,
    "bleuInput": _bleu,
    "rougeInput": _rouge,
    "pointwiseMetricInput": _pointwise,
    "pairwiseMetricInput": _pairwise,
}
