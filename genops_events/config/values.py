"""Types and checks of single values in genops.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from genops_events.catalogue.models import Catalogue, shipped
from genops_events.catalogue.partners import plain_name, refusal
from genops_events.reading.addresses import prefix_problem
from genops_events.reading.object_names import ROOT
from genops_events.reading.problems import wrong_value

_RESOURCE = re.compile(r"projects/[^/]+/locations/[^/]+/models/[^/]+")
_GS = "gs://"
_Item = TypeVar("_Item")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
_SERVICE_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]*@[a-z0-9][a-z0-9.-]*\.gserviceaccount\.com")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}?|\}")
_PLACEHOLDERS = ("{candidate}", "{dataset}")
_MOST_LABELS = 62
"""Google takes 64 on a resource; two are left for this project's own."""
_LABEL_CHARACTERS = 63
_OWN_LABELS = "genops-"


class ConfigPart(BaseModel):
    """A part of genops.yaml: unknown keys are refused, and nothing is changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refuse_bool(value: Any) -> Any:
    """Refuse true and false where a number is expected: YAML reads `yes` as true, and Python counts true as 1."""
    if isinstance(value, bool):
        raise wrong_value("Input should be a number")
    return value


def unique_items(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Refuse an empty list and one that repeats itself."""
    if not values:
        raise wrong_value("Input should have at least one item")
    if len(set(values)) < len(values):
        raise wrong_value("Input should name each item once")
    return values


def object_name(value: str) -> str:
    """Accept the name of an object that this project may read as input."""
    if value.startswith(_GS):
        raise wrong_value("Input should be an object in the bucket of this configuration")
    if not value or value.startswith("/") or value.endswith("/"):
        raise wrong_value("Input should be the name of an object in the bucket, or its gs:// address")
    if value.startswith(ROOT):
        raise wrong_value(f"Input should not be below `{ROOT}`: records are kept there")
    return value


ObjectName = Annotated[str, AfterValidator(object_name)]
PositiveInt = Annotated[int, Field(strict=True, ge=1)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


def watched_prefix(value: str) -> str:
    """Accept a folder of the bucket that does not hold this project's own records."""
    if not value or value.startswith((_GS, "/")):
        raise wrong_value("Input should be a prefix inside the bucket, e.g. `training/mine/`")
    if not value.endswith("/"):
        raise wrong_value("Input should end with `/`, e.g. `training/mine/`")
    if value.startswith(ROOT):
        raise wrong_value(f"Input should not be below `{ROOT}`: records are kept there")
    return value


def catalogue_of(info: ValidationInfo) -> Catalogue:
    """Return the catalogue that a configuration is checked by: with the user's own models, where its reader knows them."""
    found = (info.context or {}).get("catalogue")
    return found if isinstance(found, Catalogue) else shipped()


def readable_prefix(value: str) -> str:
    """Accept a bucket, or a folder of one, whose objects forms and files may name."""
    if (problem := prefix_problem(value)) is not None:
        raise wrong_value(
            f"Input {problem}" if problem.startswith("should") else f"Input should be gs://BUCKET/: it {problem}"
        )
    return value


def source_model(value: str, info: ValidationInfo) -> str:
    """Accept a model that can be tuned, or the resource of an earlier tuned model."""
    known = catalogue_of(info).tunable()
    value = plain_name(value)
    if (refused := refusal(value)) is not None:
        raise wrong_value(f"Input should be {refused}", known)
    if value not in known and not is_model_resource(value):
        text = (
            f"Input should be one of {', '.join(known)}, or projects/…/locations/…/models/… of a tuned model; a model "
            "that is not in the catalogue is given in the file that `models` names"
        )
        raise wrong_value(text, known)
    return value


def not_googles(value: str) -> str:
    """Refuse a name of a topic or a subscription that begins as Google's own do: Pub/Sub would answer 400."""
    if value.startswith("goog"):
        raise wrong_value("Input should not begin with `goog`: Pub/Sub keeps such names for Google")
    return value


def is_model_resource(value: str) -> bool:
    """Tell whether this names a model in a registry and not a published model."""
    return _RESOURCE.fullmatch(value) is not None


def last_or_epoch(value: Any) -> Any:
    """Accept `last` and the number of an epoch."""
    if value != "last" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise wrong_value("Input should be last, or the number of an epoch, from 1", ("last",))
    return value


def named_text(value: str) -> str:
    """Accept a text in which {candidate} and {dataset} may stand, and nothing else in braces."""
    if not value.strip():
        raise wrong_value("Input should be a text, or left out")
    for found in _PLACEHOLDER.findall(value):
        if found not in _PLACEHOLDERS:
            raise wrong_value(f"Input should have no braces but {{candidate}} and {{dataset}}; it has {found}")
    return value


def label_map(value: dict[str, str]) -> dict[str, str]:
    """Accept what Google Cloud takes as labels, and is not this project's own.

    The rules are those of google-genai's `CreateTuningJobConfig.labels`, and of https://cloud.google.com/resource-manager/docs/labels-overview:
    lower-case letters of any alphabet, digits, `_` and `-`; at most 63 characters; a key begins with a letter.
    """
    if len(value) > _MOST_LABELS:
        raise wrong_value(f"Input should have at most {_MOST_LABELS} labels")
    for key, text in value.items():
        if key.startswith(_OWN_LABELS):
            raise wrong_value(
                f"Input should have no label that begins with `{_OWN_LABELS}`, as {key} does: they are ours"
            )
        if not _is_label(key) or not key[0].isalpha():
            raise wrong_value(
                f"Input should have keys of lower-case letters, digits, `_` and `-`, a letter first, at most "
                f"{_LABEL_CHARACTERS} characters; {key!r} is not one"
            )
        if text and not _is_label(text):
            raise wrong_value(
                f"Input should have values of lower-case letters, digits, `_` and `-`, at most {_LABEL_CHARACTERS} "
                f"characters; that of {key} is not one"
            )
    return value


def _is_label(text: str) -> bool:
    """Tell whether a text has the length and the characters of a label's key or value."""
    allowed = all(letter in "-_" or (letter.isalnum() and letter == letter.lower()) for letter in text)
    return allowed and 0 < len(text) <= _LABEL_CHARACTERS


def kms_key_name(value: str) -> str:
    """Accept the resource name of a key of Cloud KMS."""
    if _KMS_KEY.fullmatch(value) is None:
        raise wrong_value("Input should be projects/…/locations/…/keyRings/…/cryptoKeys/…")
    return value


def location_of_key(key: str) -> str:
    """Return the location in the name of a key of Cloud KMS."""
    match = _KMS_KEY.fullmatch(key)
    return match["location"] if match is not None else ""


def service_account_address(value: str) -> str:
    """Accept the address of a service account."""
    if _SERVICE_ACCOUNT.fullmatch(value) is None:
        raise wrong_value("Input should be the address of a service account, NAME@PROJECT.iam.gserviceaccount.com")
    return value


def without_bucket(data: Any) -> Any:
    """Return a copy in which gs:// addresses of the configured bucket are plain object names.

    It runs before validation: whatever is not of the expected shape is left for the validation to refuse.
    """
    if not (isinstance(data, dict) and isinstance(data.get("bucket"), str) and isinstance(data.get("datasets"), dict)):
        return data
    own = f"{_GS}{data['bucket']}/"

    def shorten(part: Any, key: str) -> Any:
        if isinstance(part, dict) and isinstance(value := part.get(key), str) and value.startswith(own):
            return {**part, key: value[len(own) :]}
        return part

    inputs = (
        ("evaluation", "file"),
        ("inference", "prompts"),
        ("comparison", "prompts"),
        ("tuning", "validation_file"),
    )
    datasets = {
        name: {**dataset, **{part: shorten(dataset[part], key) for part, key in inputs if part in dataset}}
        if isinstance(dataset, dict)
        else dataset
        for name, dataset in data["datasets"].items()
    }
    return {**data, "datasets": datasets}


MaxOutputTokens = Annotated[int, Field(strict=True, ge=1, le=65_536)]
