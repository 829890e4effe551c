"""The sections of `genops.yaml`, from the whole file down to a dataset, and what must hold between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails

from genops_events.catalogue.file_figures import NO_FIGURES, FileFigures
from genops_events.catalogue.models import Catalogue, shipped
from genops_events.catalogue.prices import Rates, rates_of
from genops_events.catalogue.tuning_models import ModelLimits, file_figures, load_limits
from genops_events.catalogue.windows import CallLimits, call_limits_of
from genops_events.config.answers import AnswerSettings, served_with
from genops_events.config.budget import Ask, Budget, ProjectBudget, TomlFile
from genops_events.config.cache_limits import wrong_cache
from genops_events.config.comparison import Comparison
from genops_events.config.evaluation import Evaluation
from genops_events.config.identity import dataset_of
from genops_events.config.inference import Inference
from genops_events.config.locations import Locations, OwnLocations, Places
from genops_events.config.model_settings import wrong_for
from genops_events.config.promotion import Promotion
from genops_events.config.quotas import Quota, quota_for
from genops_events.config.tables import AnalysisTables
from genops_events.config.thinking import ThinkingModel, thinker_of
from genops_events.config.tuning import Tuning
from genops_events.config.values import (
    ConfigPart,
    PositiveFloat,
    PositiveInt,
    catalogue_of,
    is_model_resource,
    not_googles,
    readable_prefix,
    source_model,
    watched_prefix,
    without_bucket,
)
from genops_events.errors import ConfigError
from genops_events.reading.addresses import Readable
from genops_events.reading.object_names import ROOT, is_temporary
from genops_events.reading.problems import below, close_match, raise_wrongs, wrong

DatasetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,45}$")]
"""At most 46 characters, so that the candidate id is a valid label: 46 + `-` + 16 hex digits = 63."""
TopicId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$"), AfterValidator(not_googles)]
"""https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names (read 2026-11-30)"""


class Topics(ConfigPart):
    """Pub/Sub topics, without `projects/…/topics/`."""

    arrivals: TopicId = "genops-arrivals"
    """Cloud Storage announces new objects here."""
    completions: TopicId = "genops-completions"
    """This project announces verdicts here."""


class Intake(ConfigPart):
    """How arrivals without a message, and lost wake-ups, are found."""

    sweep_minutes: Annotated[int, Field(strict=True, ge=1, le=1440)] = 10
    """Minutes between two sweeps of the bucket."""
    patience_minutes: PositiveFloat = 5
    """How long something may be on its way before it is taken for lost. A wrong guess costs a run that finds the work done."""

    @property
    def patience(self) -> timedelta:
        """`patience_minutes` as a duration."""
        return timedelta(minutes=self.patience_minutes)


class Dataset(ConfigPart):
    """A watched prefix and how its models are tuned, judged, paid for and used."""

    prefix: Annotated[str, AfterValidator(watched_prefix)]
    """Objects below this prefix are training files; ends with `/`."""
    source_model: Annotated[str, AfterValidator(source_model)]
    """A published model, or the resource of an earlier tuned model to tune further."""
    base_model: str | None = None
    """Only when source_model is a resource: the published model beneath it, for its prices and limits."""
    invalid_lines: Literal["reject", "quarantine"] = "reject"
    """A training file with invalid lines: `reject` it, or `quarantine` them and tune on the others if enough remain."""
    system_instruction: str | None = None
    """Sent with every evaluation prompt and every prompt to answer; should be that of the training examples."""
    locations: OwnLocations = OwnLocations()
    """Where its tuned models answer."""
    tuning: Tuning = Tuning()
    """How a model is tuned, what becomes of it, and how its tuning job is waited for."""
    evaluation: Evaluation
    """How a tuned model is judged."""
    budget: Budget
    """Limits in US dollars."""
    inference: Inference
    """What a promoted model answers."""
    promotion: Promotion = Promotion()
    """How a candidate becomes champion."""
    comparison: Comparison = Comparison()
    """Who is held against the others after each promotion."""

    @property
    def billed_model(self) -> str:
        """The published model whose prices and limits apply."""
        return self.base_model or self.source_model

    @property
    def evaluated_with(self) -> AnswerSettings:
        """How an evaluation asks: as the answers are served, but for a longest answer of its own."""
        return served_with(self.inference, max_output_tokens=self.evaluation.max_output_tokens)

    @model_validator(mode="after")
    def _check_model(self, info: ValidationInfo) -> Dataset:
        catalogue = catalogue_of(info)
        known = catalogue.tunable()
        choices = f"Input should be one of {', '.join(known)}"
        if is_model_resource(self.source_model):
            if self.base_model not in known:
                raise_wrongs(
                    [wrong(("base_model",), self.base_model, f"{choices} (source_model is a tuned model)", known)]
                )
        elif self.base_model not in (None, self.source_model):
            text = "Input should be left out: it is only for a source_model that is a resource"
            raise_wrongs([wrong(("base_model",), self.base_model, text)])
        wrongs = [
            below(("tuning",), one)
            for one in self.tuning.wrong_for(self.billed_model, source_model=self.source_model, catalogue=catalogue)
        ]
        model = catalogue.named(self.billed_model)
        wrongs += [below(("inference",), one) for one in wrong_for(self.inference, model, self.billed_model)]
        wrongs += [
            below(("inference", "cache"), one)
            for one in wrong_cache(self.inference, model, self.billed_model, self.system_instruction)
        ]
        raise_wrongs(wrongs)
        return self

    def inputs(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield key and object name of each file that this dataset reads beside its training files."""
        yield ("evaluation", "file"), self.evaluation.file
        yield ("inference", "prompts"), self.inference.prompts
        if self.comparison.prompts is not None:
            yield ("comparison", "prompts"), self.comparison.prompts
        if self.tuning.validation_file is not None:
            yield ("tuning", "validation_file"), self.tuning.validation_file


class Config(ConfigPart):
    """Everything that a user decides."""

    project: Annotated[str, Field(pattern=r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    """Google Cloud project id."""
    location: Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)+[0-9]+$")]
    """Region of Vertex AI in which models are tuned, e.g. us-central1."""
    locations: Locations = Locations()
    """Where tuned models answer, where they are judged, and where published models are asked."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")]
    """Cloud Storage bucket of the training files and the records, without `gs://`."""
    topics: Topics = Topics()
    """Pub/Sub topics."""
    subscription: TopicId = "genops-arrivals-intake"
    """Pub/Sub subscription to the arrivals topic."""
    intake: Intake = Intake()
    """How arrivals without a message, and lost wake-ups, are found."""
    requests_per_minute: PositiveInt = 300
    """Quota of online calls of each model in its location, of all runs together; each run may count tokens as often."""
    tuning_jobs_at_once: PositiveInt = 1
    """Most tuning jobs that are under way at a time, as the project's quota for concurrent tuning jobs allows; the others wait in order."""
    budget: ProjectBudget = ProjectBudget()
    """Limits in US dollars for all datasets together."""
    ask: Ask = Ask()
    """What asking a model by hand may cost at most."""
    models: TomlFile | None = None
    """A TOML file of models, relative to this file: what it says of a model's limits, prices, locations and settings goes
    before what ships with genops, figure by figure; a model that genops does not know is added."""
    readable: tuple[Annotated[str, AfterValidator(readable_prefix)], ...] = ()
    """Where forms, prompt files and training files may name files beside the bucket: `gs://BUCKET/` or `gs://BUCKET/FOLDER/`."""
    capture_content: Annotated[bool, Field(strict=True)] = False
    """Whether single answers of models go to Airflow's logs and XCom, too; they always lie in the bucket."""
    tables: AnalysisTables = AnalysisTables()
    """Tables for analysis: how often they are made, and whether BigQuery has them, too."""
    datasets: Annotated[dict[DatasetName, Dataset], Field(min_length=1)]
    """A dataset for each watched prefix. Names: lower case, digits and `-`, a letter first, at most 46 characters."""

    MOVED: ClassVar[dict[str, str]] = {
        "prices": "`models: FILE.toml`, one file for prices and limits: [models.ID.prices] usd_per_million_tokens = { … }",
        "limits": "`models: FILE.toml`, one file for prices and limits: [models.ID.calls] context_window_tokens = …",
    }
    """Keys of earlier versions, and what took their place."""

    _catalogue: Catalogue | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _accept_own_addresses(cls, data: Any) -> Any:
        return without_bucket(data)

    @model_validator(mode="after")
    def _check_between_parts(self, info: ValidationInfo) -> Config:
        self._catalogue = catalogue = catalogue_of(info)
        wrongs: list[InitErrorDetails] = []
        if self.topics.arrivals == self.topics.completions:
            text = "Input should differ from the arrivals topic: our own events would come back as arrivals"
            wrongs.append(wrong(("topics", "completions"), self.topics.completions, text))
        seen: dict[str, str] = {}
        for name, dataset in self.datasets.items():
            for other, prefix in seen.items():
                if dataset.prefix.startswith(prefix) or prefix.startswith(dataset.prefix):
                    text = f"Input should not overlap with `{prefix}` of the dataset {other}"
                    wrongs.append(wrong(("datasets", name, "prefix"), dataset.prefix, text))
            seen[name] = dataset.prefix
        for name, dataset in self.datasets.items():
            for key, file in dataset.inputs():
                for other, prefix in seen.items():
                    if file.startswith(prefix):
                        text = f"Input should be outside `{prefix}`, or it would be tuned on as an arrival of {other}"
                        wrongs.append(wrong(("datasets", name, *key), file, text))
            wrongs += [below(("datasets", name), one) for one in self.places.wrong_for(dataset)]
            found = dataset.tuning.wrong_in(self.location, dataset.billed_model, dataset=name, catalogue=catalogue)
            wrongs += [below(("datasets", name, "tuning"), one) for one in found]
        for name, dataset in self.datasets.items():
            unfit = dataset.comparison.wrong_with(dataset.evaluation, catalogue, dataset.billed_model)
            wrongs += [below(("datasets", name, "comparison"), one) for one in unfit]
        raise_wrongs(wrongs)
        return self

    def dataset_for(self, object_name: str) -> tuple[str, Dataset] | None:
        """Return name and dataset of the watched prefix that this object lies under; None if it is no arrival.

        Folder placeholders (names that end with `/`), temporary objects of upload tools and this project's own records
        are no arrivals.
        """
        if object_name.endswith("/") or object_name.startswith(ROOT) or is_temporary(object_name):
            return None
        matches = [item for item in self.datasets.items() if object_name.startswith(item[1].prefix)]
        return max(matches, key=lambda item: len(item[1].prefix), default=None)

    def dataset(self, name: str) -> Dataset:
        """Return the dataset of this name; raise ConfigError that lists the known names."""
        if (found := self.datasets.get(name)) is not None:
            return found
        near = close_match(name, self.datasets)
        raise ConfigError(
            f"There is no dataset {name!r} in the configuration.",
            (f"Did you mean `{near}`? " if near else "") + f"Known datasets: {', '.join(sorted(self.datasets))}.",
        )

    @property
    def catalogue(self) -> Catalogue:
        """The models that are known: those that ship with genops, and over them those of the file that `models` names."""
        return self._catalogue or shipped()

    @property
    def places(self) -> Places:
        """Where each model is tuned, served, judged by and asked."""
        return Places(self.catalogue, self.location, self.locations)

    def serving_location_of(self, candidate: str) -> str:
        """Return where a candidate answers; `location` where its dataset is not in the configuration any more."""
        dataset = self.datasets.get(dataset_of(candidate))
        return self.location if dataset is None else self.places.serving(dataset)

    def quota_of(self, called: str, base_model: str) -> Quota:
        """Return the quota that calls of a model use: a tuned one that of the model beneath it.

        Args:
            called: what is asked: a published model, or the endpoint of a tuned one.
            base_model: the published model, or the one that it was tuned from; empty where nobody knows it.
        """
        return quota_for(self, self.places.of(called), base_model or called)

    def rates(self, model: str) -> Rates:
        """Return what a published model costs; raise UnknownModelError where the catalogue does not have it."""
        return rates_of(self.catalogue, model, self.places.of(model), tuned_in=self.location)

    def rates_for(self, dataset: Dataset) -> Rates:
        """Return what tuning a dataset's model costs in `location`, and its answers where it is served."""
        where = self.places.serving(dataset)
        return rates_of(self.catalogue, dataset.billed_model, where, tuned_in=self.location)

    def call_limits(self, model: str) -> CallLimits:
        """Return how much one call of a published model takes; raise UnknownFigureError where that is not known."""
        return call_limits_of(self.catalogue, model)

    def thinker(self, model: str, *, is_tuned: bool) -> ThinkingModel:
        """Return how a published model, or one that was tuned from it, thinks before it answers."""
        return thinker_of(self.catalogue, model, is_tuned=is_tuned)

    def file_limits(self, model: str) -> ModelLimits:
        """Return what a training file for a published model may hold; raise UnknownLimitsError where that is not known."""
        return load_limits(model, self.catalogue).reading(self.addresses)

    def file_figures(self, model: str) -> FileFigures:
        """Return what a published model counts files as; without figures where the catalogue does not have it."""
        found = self.catalogue.find(model)
        return NO_FIGURES if found is None else file_figures(found.media)

    @property
    def addresses(self) -> Readable:
        """Return the objects that are read for whoever names them: in a form, in a row of prompts, in a training line."""
        return Readable(self.bucket, self.readable)

    def uri(self, object_name: str) -> str:
        """Return the gs:// address of an object in the bucket."""
        return f"gs://{self.bucket}/{object_name}"
