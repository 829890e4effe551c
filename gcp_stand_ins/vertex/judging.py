"""The judge of evaluateInstances: no model, but a formula over shared words, which it says of itself. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gcp_stand_ins.vertex.errors import as_object, invalid
from gcp_stand_ins.vertex.tokens import text_of

_PLACEHOLDER = re.compile(r"\{\s*(\w+)\s*\}")
_WORD = re.compile(r"[^\W_]+")
_RATING = re.compile(r"^\s*(-?\d+)\s*:", re.MULTILINE)
_RESPONSE_FIELDS = ("response", "prediction", "candidate_response", "answer")
_REFERENCE_FIELDS = ("reference", "ground_truth", "golden_answer", "expected")
_PROMPT_FIELDS = ("prompt", "instruction", "context", "question")
_DEFAULT_RATINGS = (1.0, 5.0)
_DEFAULT_SAMPLES, _MOST_SAMPLES = 4, 32
_MEASURE = "This stand-in measures word overlap (F1) and judges nothing else."


@dataclass(frozen=True, slots=True)
class Judge:
    """How the caller wants to be judged: Vertex AI's `AutoraterConfig`, with its defaults."""

    samples: int = _DEFAULT_SAMPLES
    flips: bool = True


def read_judge(body: Mapping[str, Any]) -> Judge:
    """Return how a request wants to be judged.

    Raises:
        ApiError: samples out of bounds, or an unknown field.
    """
    config = as_object(body.get("autoraterConfig"), "autorater_config")
    for field in config:
        if field not in {"samplingCount", "flipEnabled", "autoraterModel", "generationConfig"}:
            raise invalid(f'Invalid JSON payload received. Unknown name "{field}" at autorater_config.')
    samples = config.get("samplingCount", _DEFAULT_SAMPLES)
    if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= _MOST_SAMPLES:
        raise invalid(f"autorater_config.sampling_count must be from 1 to {_MOST_SAMPLES}; found {samples!r}.")
    return Judge(samples=samples, flips=bool(config.get("flipEnabled", True)))


def pointwise(given: Mapping[str, Any], spec: Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """Return a score between the lowest and the highest rating of the template's rubric, by the words in common.

    A rubric's ratings are lines such as `5: perfect`; without any they are 1 to 5. The response is compared with the
    reference, or with the prompt where there is none.
    """
    instance = _judged_instance(given, spec)
    response = _first(instance, _RESPONSE_FIELDS)
    if response is None:
        raise invalid(f"The instance needs a response: one of {', '.join(_RESPONSE_FIELDS)}.")
    field, target = _yardstick(instance)
    score = _grade(response, target, _ratings(spec))
    explanation = (
        f"The response shares {_overlap(response, target):.0%} of its words (F1) with the {field}. {_MEASURE} "
        f"Samples: {judge.samples}, all alike."
    )
    result: dict[str, Any] = {"score": score, "explanation": explanation}
    return {"pointwiseMetricResult": _shaped(result, spec)}


def pairwise(given: Mapping[str, Any], spec: Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """Return the choice of a judge that scores both responses as the pointwise one does.

    Of two equal ones it takes the one that it is shown first, as real judges tend to: only samples in turned order, half
    of them, make a tie of it.
    """
    instance = _judged_instance(given, spec)
    names = {
        "CANDIDATE": spec.get("candidateResponseFieldName") or "response",
        "BASELINE": spec.get("baselineResponseFieldName") or "baseline_model_response",
    }
    for name in names.values():
        if name not in instance:
            raise invalid(f"The instance has no field {name!r}; it has {', '.join(sorted(instance))}.")
    field, target = _yardstick(instance)
    grades = {choice: _grade(instance[name], target, _DEFAULT_RATINGS) for choice, name in names.items()}
    turned = judge.flips and judge.samples > 1
    if grades["CANDIDATE"] != grades["BASELINE"]:
        choice = max(grades, key=lambda one: grades[one])
    elif turned and judge.samples % 2 == 0:
        choice = "TIE"
    else:
        shown = _PLACEHOLDER.findall(str(spec["metricPromptTemplate"]))
        choice = min(names, key=lambda one: shown.index(names[one]) if names[one] in shown else len(shown))
    explanation = (
        f"By words shared with the {field}, the candidate has {grades['CANDIDATE']:.2f} of 5 "
        f"and the baseline {grades['BASELINE']:.2f}. {_MEASURE} "
        f"Samples: {judge.samples}, {'half of them' if turned else 'none'} in turned order."
    )
    return {"pairwiseMetricResult": _shaped({"pairwiseChoice": choice, "explanation": explanation}, spec)}


def _ratings(spec: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest rating of the template's rubric."""
    found = [float(rating) for rating in _RATING.findall(str(spec.get("metricPromptTemplate")))]
    return (min(found), max(found)) if found else _DEFAULT_RATINGS


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


def _grade(response: str, target: str, ratings: tuple[float, float]) -> float:
    low, high = ratings
    return low + (high - low) * _overlap(response, target)


def _shaped(result: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result, or the raw text of it where the caller has asked for that."""
    if as_object(spec.get("customOutputFormatConfig"), "custom_output_format_config").get("returnRawOutput"):
        return {"customOutput": {"rawOutputs": {"rawOutput": [msgspec.json.encode(result).decode()]}}}
    return result
