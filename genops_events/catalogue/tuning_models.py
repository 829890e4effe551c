"""Vertex AI's limits on the training and validation files of a source model, by the catalogue of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from genops_events.catalogue.facts import METHODS, Media, Method
from genops_events.catalogue.file_figures import FileFigures
from genops_events.catalogue.models import Catalogue, how_to_add, shipped
from genops_events.errors import PermanentError
from genops_events.reading.addresses import Readable

__all__ = [
    "METHODS",
    "Method",
    "MethodLimits",
    "ModelLimits",
    "UnknownLimitsError",
    "load_limits",
    "models_that_take",
]


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """Limits on tuning one source model by one method."""

    adapter_sizes: tuple[int, ...]
    teacher_models: tuple[str, ...] = ()
    """Published models that it can be distilled from."""
    locations: tuple[str, ...] = ()
    """The only regions of this method; empty where no restriction is known."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Vertex AI's limits on a training file of one source model; data/models.toml has the sources."""

    model: str
    min_examples: int
    max_examples: int
    max_media_examples: int
    """Most examples with a file or inline data."""
    max_file_bytes: int
    max_tokens_per_example: int
    max_images_per_example: int
    max_documents_per_example: int
    max_validation_examples: int
    max_line_bytes: int
    methods: Mapping[Method, MethodLimits]
    file_figures: FileFigures = dataclasses.field(default_factory=FileFigures)
    """Tokens of the files of an example."""
    for_validation: bool = False
    """Whether these are the limits of a validation file; never True in the catalogue."""
    readable: Readable | None = None
    """The files that examples may name; None without genops.yaml, so that only the form of their addresses is checked."""

    def reading(self, readable: Readable) -> ModelLimits:
        """Return the same limits for examples that may name these files and no others."""
        return dataclasses.replace(self, readable=readable)

    def of_validation_file(self) -> ModelLimits:
        """Return the limits of a validation file: the same for each example, but others for their number."""
        return dataclasses.replace(
            self,
            min_examples=1,
            max_examples=self.max_validation_examples,
            max_media_examples=self.max_validation_examples,
            for_validation=True,
        )


_FIGURES = tuple(field.name for field in dataclasses.fields(ModelLimits) if field.name.startswith(("min_", "max_")))


class UnknownLimitsError(PermanentError):
    """The catalogue does not have the limits of files for this model, or no method of tuning it."""


def load_limits(model: str, catalogue: Catalogue | None = None) -> ModelLimits:
    """Return the limits of a published model.

    Args:
        model: id of the model.
        catalogue: of models; None for the shipped one.

    Raises:
        UnknownLimitsError: the limits are not known; the message names the models whose limits are.
    """
    catalogue = catalogue or shipped()
    known = ", ".join(catalogue.tunable())
    if (found := catalogue.find(model)) is None or not found.tuning.methods:
        what = "The limits of the model" if found is None else "The catalogue of models knows no way to tune"
        raise UnknownLimitsError(
            f"{what} {model!r}" + (" are not known." if found is None else "."),
            f"Known models: {known}. "
            + how_to_add(model, tuning="methods = { supervised = { adapter_sizes = [1, 4] } }"),
        )
    figures = {name: getattr(found.tuning.files, name) for name in _FIGURES}
    if missing := [name for name, value in figures.items() if value is None]:
        raise UnknownLimitsError(
            f"The catalogue of models does not say what a training file of {model} may hold: {', '.join(missing)}.",
            "Take over what another model has, with `like`, or give the figures. "
            + how_to_add(model, **{"tuning.files": "\n  ".join(f"{name} = …" for name in missing)}),
        )
    both = found.tuning.locations or ()
    methods = {
        method: MethodLimits(facts.adapter_sizes, facts.teacher_models, facts.locations or both)
        for method, facts in found.tuning.methods.items()
    }
    return ModelLimits(
        model=catalogue.id_of(model) or model, methods=methods, file_figures=file_figures(found.media), **figures
    )


def file_figures(media: Media) -> FileFigures:
    """Return the tokens of files for a model: at the default resolution, and the most at any resolution."""
    every = [media.at(None), *map(media.at, media.resolutions)]
    images = [one.image_tokens for one in every if one.image_tokens is not None]
    seconds = [one.video_tokens_per_second for one in every if one.video_tokens_per_second is not None]
    return FileFigures(
        image=media.image_tokens,
        video_second=media.video_tokens_per_second,
        image_at_most=max(images, default=None),
        video_second_at_most=max(seconds, default=None),
    )


def models_that_take(method: Method, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """Return the published models that can be tuned by this method."""
    return (catalogue or shipped()).tunable(method)
