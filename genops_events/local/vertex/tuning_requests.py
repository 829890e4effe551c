"""What Vertex AI accepts as a new tuning job. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genops_events.local.vertex.errors import invalid, not_implemented
from genops_events.local.vertex.training_data import split_uri

PUBLISHER_MODELS = (
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.0-flash",
    "gemini-2.0-flash-001",
    "gemini-2.0-flash-lite",
    "gemini-2.0-flash-lite-001",
)
"""The base models that answer, and can be tuned, here."""

_ECHOED = (
    "baseModel",
    "preTunedModel",
    "supervisedTuningSpec",
    "tunedModelDisplayName",
    "description",
    "labels",
    "encryptionSpec",
    "serviceAccount",
    "outputUri",
    "evaluationConfig",
)
_OTHER_METHODS = (
    "preferenceOptimizationSpec",
    "distillationSpec",
    "reinforcementTuningSpec",
    "partnerModelTuningSpec",
    "veoTuningSpec",
    "veoLoraTuningSpec",
    "fullFineTuningSpec",
    "customBaseModel",
)
_SPEC_FIELDS = frozenset(
    {
        "trainingDatasetUri",
        "validationDatasetUri",
        "hyperParameters",
        "exportLastCheckpointOnly",
        "tuningMode",
        "evaluationConfig",
    }
)
_HYPER_PARAMETERS = frozenset({"epochCount", "learningRateMultiplier", "adapterSize", "batchSize", "learningRate"})
_ADAPTER_SIZES = {
    1: "ADAPTER_SIZE_ONE",
    6: "ADAPTER_SIZE_TWO",
    2: "ADAPTER_SIZE_FOUR",
    3: "ADAPTER_SIZE_EIGHT",
    4: "ADAPTER_SIZE_SIXTEEN",
    5: "ADAPTER_SIZE_THIRTY_TWO",
}
_MAX_EPOCHS = 100
_MAX_LABELS = 64
_MAX_DISPLAY_NAME = 128
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def publisher_model(name: str) -> str:
    """Return the short name of a publisher model, however it is written."""
    return name.rpartition("publishers/google/models/")[2]


def read_create_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a create call asks for, checked.

    The base model and the object behind the training URI are for the caller to look up.

    Raises:
        ApiError: the request is not valid, or asks for a kind of tuning that is not here.
    """
    for field in _OTHER_METHODS:
        if field in body:
            raise not_implemented(f"tuning jobs with {field}")
    known = {*_ECHOED, "name", "state", "createTime", "updateTime", "startTime", "endTime"}
    for field in body:
        if field not in known:
            raise invalid(
                f"Invalid JSON payload received. Unknown name \"{field}\" at 'tuning_job': Cannot find field."
            )
    request = {field: body[field] for field in _ECHOED if body.get(field) not in (None, "", {})}
    if ("baseModel" in request) == ("preTunedModel" in request):
        raise invalid("Exactly one of base_model and pre_tuned_model must be set.")
    if "baseModel" in request:
        _check_base_model(request["baseModel"])
    _check_spec(request.get("supervisedTuningSpec"))
    check_labels(request.get("labels", {}))
    display_name = request.get("tunedModelDisplayName", "")
    if not isinstance(display_name, str) or len(display_name) > _MAX_DISPLAY_NAME:
        raise invalid(f"tuned_model_display_name must be a text of at most {_MAX_DISPLAY_NAME} characters.")
    return request


def _check_base_model(name: object) -> None:
    if not isinstance(name, str) or publisher_model(name) not in PUBLISHER_MODELS:
        raise invalid(f"Base model {name} is not supported for tuning. Supported: {', '.join(PUBLISHER_MODELS)}.")


def _check_spec(spec: object) -> None:
    if not isinstance(spec, dict):
        raise invalid("supervised_tuning_spec is required, with its training_dataset_uri.")
    if unknown := sorted(set(spec) - _SPEC_FIELDS):
        raise invalid(f"Unknown fields in supervised_tuning_spec: {', '.join(unknown)}.")
    split_uri(spec.get("trainingDatasetUri"), field="supervised_tuning_spec.training_dataset_uri")
    if "validationDatasetUri" in spec:
        split_uri(spec["validationDatasetUri"], field="supervised_tuning_spec.validation_dataset_uri")
    given = spec.get("hyperParameters", {})
    if not isinstance(given, dict) or set(given) - _HYPER_PARAMETERS:
        raise invalid(f"hyper_parameters may hold {', '.join(sorted(_HYPER_PARAMETERS))}; found {given!r}.")
    epochs = given.get("epochCount", 1)
    if not str(epochs).isdigit() or not 1 <= int(epochs) <= _MAX_EPOCHS:
        raise invalid(f"hyper_parameters.epoch_count must be from 1 to {_MAX_EPOCHS}; found {epochs!r}.")
    multiplier = given.get("learningRateMultiplier", 1.0)
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float) or multiplier <= 0:
        raise invalid(f"hyper_parameters.learning_rate_multiplier must be above 0; found {multiplier!r}.")
    adapter = given.get("adapterSize", 1)
    if not isinstance(adapter, int | str) or adapter not in {*_ADAPTER_SIZES, *_ADAPTER_SIZES.values()}:
        raise invalid(f"hyper_parameters.adapter_size is {adapter!r}; known: {', '.join(_ADAPTER_SIZES.values())}.")
    if isinstance(adapter, int) and "adapterSize" in given:
        given["adapterSize"] = _ADAPTER_SIZES[adapter]


def check_labels(labels: object) -> None:
    """Raise unless `labels` are what Google Cloud takes as labels."""
    if not isinstance(labels, dict) or len(labels) > _MAX_LABELS:
        raise invalid(f"labels must be an object of at most {_MAX_LABELS} entries.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise invalid(
                f"Invalid label {key!r}: {value!r}. Keys begin with a lower-case letter; keys and values hold lower-case "
                "letters, digits, _ and -, at most 63."
            )
