"""The part `tuning` of a dataset in `genops.yaml`: how its models are tuned, named, kept and waited for.

The keys are those of google-genai's `CreateTuningJobConfig` that apply to Gemini. Left out are what is for open models
only (`tuning_mode`, `batch_size`, `learning_rate`, `custom_base_model`, `output_uri`), reinforcement tuning, and
`evaluation_config`: this project evaluates by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import InitErrorDetails

from genops_events.catalogue.facts import METHODS, Method
from genops_events.catalogue.models import Catalogue
from genops_events.catalogue.tuning_models import ModelLimits, load_limits, models_that_take
from genops_events.config.values import (
    ConfigPart,
    ObjectName,
    PositiveFloat,
    is_model_resource,
    kms_key_name,
    label_map,
    last_or_epoch,
    location_of_key,
    named_text,
    service_account_address,
)
from genops_events.reading.problems import raise_wrongs, wrong

MAX_NAME_CHARACTERS = 128
"""Longest display name of a tuned model: google-genai's `TuningJob.tuned_model_display_name`."""
MOST_CHECKPOINTS = 10
"""With more epochs than this, Vertex AI keeps "around 10 checkpoints", and not one of each epoch.

https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/tuning/checkpoints
"""
_KEYS_OF: dict[str, Method] = {
    "beta": "preference",
    "teacher_model": "distillation",
}


class Tuning(ConfigPart):
    """How a model is tuned, what becomes of it, and how its tuning job is waited for."""

    method: Method = "supervised"
    """What is learned from: `supervised` (examples), `preference` (pairs of answers), `distillation` (a teacher's answers)."""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100)] = 3
    """Passes over the training file; the price grows with it."""
    learning_rate_multiplier: PositiveFloat = 1.0
    """Factor on the rate that Vertex AI recommends."""
    adapter_size: Annotated[int, Field(strict=True)] = 4
    """Rank of the adapter; the source model says which are possible."""
    validation_file: ObjectName | None = None
    """Validation examples: an object in the bucket, outside every watched prefix."""
    beta: PositiveFloat | None = None
    """Preference tuning: how closely the tuned model stays with its baseline; Vertex AI's choice if not given."""
    teacher_model: str | None = None
    """Distillation: the model that is learned from; a published one, or the resource of a tuned model."""
    checkpoints: Literal["all", "last"] = "all"
    """Whether the checkpoints between epochs are kept, each on an endpoint of its own, or the last one only (which Vertex AI does not offer for distillation)."""
    serve_checkpoint: Annotated[Literal["last"] | int, BeforeValidator(last_or_epoch)] = "last"
    """The checkpoint that is evaluated and promoted: `last`, or the number of an epoch."""
    start_from: Literal["source_model", "champion"] = "source_model"
    """Where each job starts: the source model, or the champion, to tune it further (from the source model while there is none)."""
    start_checkpoint: Annotated[str, Field(min_length=1)] | None = None
    """Id of the checkpoint to start from, where that is a tuned model; its default checkpoint if not given."""
    model_name: Annotated[str, AfterValidator(named_text)] | None = "{candidate}"
    """Display name of the tuned model; {candidate} and {dataset} are replaced. Empty (null): not sent, so that tuning a
    tuned model further makes a new version of it."""
    description: Annotated[str, AfterValidator(named_text)] | None = None
    """Description of the tuning job; {candidate} and {dataset} are replaced."""
    labels: Annotated[dict[str, str], AfterValidator(label_map)] = Field(default={})
    """Labels of the tuning job and of what it makes, at most 62; keys that begin with `genops-` are this project's."""
    kms_key: Annotated[str, AfterValidator(kms_key_name)] | None = None
    """Key of Cloud KMS that everything the job makes is encrypted with, in the configuration's location."""
    service_account: Annotated[str, AfterValidator(service_account_address)] | None = None
    """Service account that the job runs as; Vertex AI's own service agent if not given."""
    poll_seconds: PositiveFloat = 30
    """Pause between two looks at the tuning job."""
    timeout_hours: PositiveFloat = 24
    """A job that runs longer is given up."""

    @model_validator(mode="after")
    def _check_method(self) -> Tuning:
        wrongs: list[InitErrorDetails] = []
        for key, method in _KEYS_OF.items():
            if method != self.method and (value := getattr(self, key)) is not None:
                text = f"Input should be left out: `tuning.{key}` is for {METHODS[method]}"
                wrongs.append(wrong((key,), value, text))
        if self.method == "distillation" and self.teacher_model is None:
            wrongs.append(wrong(("teacher_model",), None, "Input should name the teacher: distillation needs one"))
        if self.method == "distillation" and self.checkpoints == "last":
            # DistillationSpec of Vertex AI's discovery document, revision 20261106, has no exportLastCheckpointOnly.
            text = "Input should be all: Vertex AI keeps every checkpoint of a distillation"
            wrongs.append(wrong(("checkpoints",), self.checkpoints, text))
        if isinstance(self.serve_checkpoint, int):
            wrongs += self._wrong_epoch(self.serve_checkpoint)
        raise_wrongs(wrongs)
        return self

    def _wrong_epoch(self, epoch: int) -> Iterator[InitErrorDetails]:
        allowed = ""
        if epoch > self.epochs:
            allowed = f"last, or an epoch from 1 to {self.epochs}: `tuning.epochs` is {self.epochs}"
        elif self.checkpoints == "last" and epoch < self.epochs:
            allowed = "last: with `tuning.checkpoints: last` no other checkpoint is kept"
        elif self.epochs > MOST_CHECKPOINTS and epoch < self.epochs:
            allowed = (
                f"last: with more than {MOST_CHECKPOINTS} epochs, Vertex AI keeps about {MOST_CHECKPOINTS} "
                "checkpoints, not one of each epoch"
            )
        if allowed:
            yield wrong(("serve_checkpoint",), epoch, f"Input should be {allowed}")

    def wrong_for(self, model: str, *, source_model: str, catalogue: Catalogue) -> Iterator[InitErrorDetails]:
        """Yield what `model`, the published model that is tuned in the end, does not take."""
        limits = load_limits(model, catalogue)
        if (taken := limits.methods.get(self.method)) is None:
            text = (
                f"Input should be one of {', '.join(limits.methods)} for {model}; {METHODS[self.method]} takes "
                f"{', '.join(models_that_take(self.method, catalogue))}"
            )
            yield wrong(("method",), self.method, text)
            return
        if self.adapter_size not in taken.adapter_sizes:
            sizes = ", ".join(map(str, taken.adapter_sizes))
            yield wrong(("adapter_size",), self.adapter_size, f"Input should be one of {sizes} for {model}")
        yield from self._wrong_teacher(limits)
        if self.start_checkpoint is not None and self.start_from != "champion" and not is_model_resource(source_model):
            text = (
                "Input should be left out: only a tuned model has checkpoints to start from, and {} is a published one"
            )
            yield wrong(("start_checkpoint",), self.start_checkpoint, text.format(source_model))

    def _wrong_teacher(self, limits: ModelLimits) -> Iterator[InitErrorDetails]:
        teachers = limits.methods[self.method].teacher_models
        teacher = self.teacher_model
        if teacher is None or teacher in teachers or is_model_resource(teacher):
            return
        text = (
            f"Input should be one of {', '.join(teachers)} for {limits.model}, "
            "or projects/…/locations/…/models/… of a tuned model"
        )
        yield wrong(("teacher_model",), teacher, text, teachers)

    def wrong_in(self, location: str, model: str, *, dataset: str, catalogue: Catalogue) -> Iterator[InitErrorDetails]:
        """Yield what cannot be in this location, or under this dataset's name."""
        locations = load_limits(model, catalogue).methods[self.method].locations
        if locations and location not in locations:
            text = (
                f"Input should be used in {', '.join(locations)} only: {METHODS[self.method]} of {model} is done there, "
                f"and `location` is {location}"
            )
            yield wrong(("method",), self.method, text)
        if self.kms_key is not None and catalogue.named(model).tuning.cmek is False:
            text = f"Input should be left out: what is tuned from {model} cannot be encrypted with a key of your own"
            yield wrong(("kms_key",), self.kms_key, text)
        elif self.kms_key is not None and (found := location_of_key(self.kms_key)) != location:
            text = f"Input should be a key in {location}, where the tuned model is; this one is in {found}"
            yield wrong(("kms_key",), self.kms_key, text)
        candidate = f"{dataset}-{16 * '0'}"
        name = self.model_name and filled_in(self.model_name, candidate=candidate, dataset=dataset)
        if name and len(name) > MAX_NAME_CHARACTERS:
            text = f"Input should have at most {MAX_NAME_CHARACTERS} characters once filled in; it has {len(name)}"
            yield wrong(("model_name",), self.model_name, text)


def filled_in(text: str, *, candidate: str, dataset: str) -> str:
    """Return `text` with {candidate} and {dataset} replaced."""
    return text.replace("{candidate}", candidate).replace("{dataset}", dataset)
