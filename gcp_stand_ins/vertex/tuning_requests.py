"""What Vertex AI accepts as a new tuning job. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gcp_stand_ins.vertex.base_models import BASE_MODELS, publisher_model
from gcp_stand_ins.vertex.errors import invalid, not_implemented
from gcp_stand_ins.vertex.training_data import split_uri

_ECHOED = (
    "baseModel",
    "preTunedModel",
    "supervisedTuningSpec",
    "preferenceOptimizationSpec",
    "distillationSpec",
    "tunedModelDisplayName",
    "description",
    "labels",
    "encryptionSpec",
    "serviceAccount",
    "outputUri",
)
_OTHER_METHODS = (
    "reinforcementTuningSpec",
    "partnerModelTuningSpec",
    "veoTuningSpec",
    "veoLoraTuningSpec",
    "fullFineTuningSpec",
    "customBaseModel",
)
_HYPER_PARAMETERS = frozenset({"epochCount", "learningRateMultiplier", "adapterSize"})
_OPEN_MODELS = frozenset({"batchSize", "learningRate"})
_SPEC_FIELDS = frozenset({"validationDatasetUri", "hyperParameters"})
_INTEGERS = frozenset({"epochCount", "batchSize"})
"""Integers of 64 bits: text in every answer, whatever they were in the request."""
_NOT_IN_V1 = frozenset(
    {
        "distillationSpec",
        "distillationDataStats",
        "outputUri",
        "tuningJobState",
        "tuningJobMetadata",
        "tuningMode",
        *_OPEN_MODELS,
    }
)
"""Fields of a tuning job that v1beta1 alone has: Google's discovery documents of revision 20261106."""
_TEACHERS = ("baseTeacherModel", "tunedTeacherModelSource")


@dataclass(frozen=True, slots=True)
class Method:
    """A way of tuning: what its spec may hold.

    Args:
        field: name of the spec in a tuning job.
        stats: name of its block in `tuningDataStats`.
        data: field of the spec that names the training data.
        fields: all other fields of the spec.
        hyper_parameters: what may be in `hyperParameters`.
    """

    field: str
    stats: str
    data: str
    fields: frozenset[str]
    hyper_parameters: frozenset[str]

    @property
    def words(self) -> str:
        """Return the name of the spec as Google's errors write it."""
        return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", self.field)


SUPERVISED = Method(
    field="supervisedTuningSpec",
    stats="supervisedTuningDataStats",
    data="trainingDatasetUri",
    fields=_SPEC_FIELDS | {"tuningMode", "exportLastCheckpointOnly", "evaluationConfig"},
    hyper_parameters=_HYPER_PARAMETERS | _OPEN_MODELS,
)
PREFERENCE = Method(
    field="preferenceOptimizationSpec",
    stats="preferenceOptimizationDataStats",
    data="trainingDatasetUri",
    fields=_SPEC_FIELDS | {"exportLastCheckpointOnly"},
    hyper_parameters=_HYPER_PARAMETERS | {"beta"},
)
DISTILLATION = Method(
    field="distillationSpec",
    stats="distillationDataStats",
    data="promptDatasetUri",
    fields=_SPEC_FIELDS | {"tuningMode", *_TEACHERS},
    hyper_parameters=_HYPER_PARAMETERS | _OPEN_MODELS,
)
METHODS = (SUPERVISED, PREFERENCE, DISTILLATION)
_ADAPTER_SIZES = {
    1: "ADAPTER_SIZE_ONE",
    6: "ADAPTER_SIZE_TWO",
    2: "ADAPTER_SIZE_FOUR",
    3: "ADAPTER_SIZE_EIGHT",
    4: "ADAPTER_SIZE_SIXTEEN",
    5: "ADAPTER_SIZE_THIRTY_TWO",
}
_RANKS = {
    "ADAPTER_SIZE_ONE": 1,
    "ADAPTER_SIZE_TWO": 2,
    "ADAPTER_SIZE_FOUR": 4,
    "ADAPTER_SIZE_EIGHT": 8,
    "ADAPTER_SIZE_SIXTEEN": 16,
    "ADAPTER_SIZE_THIRTY_TWO": 32,
}
TEACHERS = ("gemini-3.1-pro", *BASE_MODELS)
"""Google's page on distillation names gemini-3.1-pro; the others are taken here, too."""
_MAX_EPOCHS = 100
_MAX_LABELS = 64
_MAX_DISPLAY_NAME = 128
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


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
    if not isinstance(request.get("baseModel", ""), str):
        raise invalid(f"base_model must be the name of a model; found {request['baseModel']!r}.")
    given = [method for method in METHODS if method.field in body]
    if len(given) != 1:
        found = ", ".join(method.field for method in given) or "none"
        raise invalid(
            "supervised_tuning_spec is required, with its training_dataset_uri, or preference_optimization_spec or "
            f"distillation_spec in its place; found {found}."
        )
    _check_spec(body[given[0].field], given[0])
    request[given[0].field] = _as_answered(body[given[0].field])
    check_labels(request.get("labels", {}))
    _check_access(request)
    display_name = request.get("tunedModelDisplayName", "")
    if not isinstance(display_name, str) or len(display_name) > _MAX_DISPLAY_NAME:
        raise invalid(f"tuned_model_display_name must be a text of at most {_MAX_DISPLAY_NAME} characters.")
    return request


def adapter_of(request: Mapping[str, Any]) -> int | None:
    """Return the rank of the adapter that a checked create call asks for; None where it names none."""
    named = method_of(request)[1].get("hyperParameters", {}).get("adapterSize")
    return next((_RANKS[name] for name in _ADAPTER_SIZES.values() if name == named), None)


def method_of(request: Mapping[str, Any]) -> tuple[Method, Mapping[str, Any]]:
    """Return the way of tuning that a checked create call asks for, and its spec."""
    method = next(one for one in METHODS if one.field in request)
    return method, request[method.field]


def check_is_stable(value: object) -> None:
    """Raise if a request that was sent to v1 names a field that v1beta1 alone has."""
    if isinstance(value, Mapping):
        for field, one in value.items():
            if field in _NOT_IN_V1:
                raise invalid(
                    f"Invalid JSON payload received. Unknown name \"{field}\" at 'tuning_job': Cannot find field."
                )
            check_is_stable(one)


def stable(value: Any) -> Any:
    """Return what v1 shows of a tuning job or a page of them."""
    if isinstance(value, Mapping):
        return {field: stable(one) for field, one in value.items() if field not in _NOT_IN_V1}
    return [stable(one) for one in value] if isinstance(value, list) else value


def _as_answered(spec: Mapping[str, Any]) -> dict[str, Any]:
    given = spec.get("hyperParameters")
    if not given:
        return dict(spec)
    told = {field: str(value) if field in _INTEGERS else value for field, value in given.items()}
    return {**spec, "hyperParameters": told}


def _check_spec(spec: object, method: Method) -> None:
    where = method.words
    if not isinstance(spec, dict):
        raise invalid(f"{where} must be an object.")
    if unknown := sorted(set(spec) - method.fields - {method.data}):
        raise invalid(f"Unknown fields in {where}: {', '.join(unknown)}.")
    split_uri(spec.get(method.data), field=f"{where}.{method.data}")
    if "validationDatasetUri" in spec:
        split_uri(spec["validationDatasetUri"], field=f"{where}.validation_dataset_uri")
    if not isinstance(spec.get("exportLastCheckpointOnly", False), bool):
        raise invalid(f"{where}.export_last_checkpoint_only must be true or false.")
    if method is DISTILLATION:
        _check_teacher(spec)
    given = spec.get("hyperParameters", {})
    if not isinstance(given, dict) or set(given) - method.hyper_parameters:
        raise invalid(
            f"{where}.hyper_parameters may hold {', '.join(sorted(method.hyper_parameters))}; found {given!r}."
        )
    _check_hyper_parameters(given)


def _check_teacher(spec: Mapping[str, Any]) -> None:
    teachers = [field for field in _TEACHERS if field in spec]
    if len(teachers) != 1:
        raise invalid("distillation_spec needs exactly one of base_teacher_model and tuned_teacher_model_source.")
    name = spec[teachers[0]]
    if teachers == ["baseTeacherModel"] and (not isinstance(name, str) or publisher_model(name) not in TEACHERS):
        raise invalid(f"Teacher model {name} is not supported. Supported: {', '.join(TEACHERS)}.")


def _check_hyper_parameters(given: dict[str, Any]) -> None:
    epochs = given.get("epochCount", 1)
    if not str(epochs).isdigit() or not 1 <= int(epochs) <= _MAX_EPOCHS:
        raise invalid(f"hyper_parameters.epoch_count must be from 1 to {_MAX_EPOCHS}; found {epochs!r}.")
    for field in ("learningRateMultiplier", "beta"):
        value = given.get(field, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            name = re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", field)
            raise invalid(f"hyper_parameters.{name} must be above 0; found {value!r}.")
    adapter = given.get("adapterSize", 1)
    if not isinstance(adapter, int | str) or adapter not in {*_ADAPTER_SIZES, *_ADAPTER_SIZES.values()}:
        raise invalid(f"hyper_parameters.adapter_size is {adapter!r}; known: {', '.join(_ADAPTER_SIZES.values())}.")
    if isinstance(adapter, int) and "adapterSize" in given:
        given["adapterSize"] = _ADAPTER_SIZES[adapter]


def _check_access(request: Mapping[str, Any]) -> None:
    """Raise unless key, service account and output are written as Google Cloud writes them."""
    if "encryptionSpec" in request:
        spec = request["encryptionSpec"]
        if not isinstance(spec, dict) or set(spec) != {"kmsKeyName"} or not _KEY.fullmatch(str(spec["kmsKeyName"])):
            raise invalid(
                "encryption_spec.kms_key_name must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY; "
                f"found {spec!r}."
            )
    account = request.get("serviceAccount", "a@b.c")
    if not isinstance(account, str) or not _ACCOUNT.fullmatch(account):
        raise invalid(f"service_account must be the e-mail address of a service account; found {account!r}.")
    if "outputUri" in request and not str(request["outputUri"]).startswith("gs://"):
        raise invalid(f"output_uri must be a Cloud Storage URI, gs://BUCKET/FOLDER; found {request['outputUri']!r}.")


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
