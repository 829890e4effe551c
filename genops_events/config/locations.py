"""The parts of `genops.yaml` about places: a model is tuned in `location`, and answers where these keys or the catalogue say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field
from pydantic_core import InitErrorDetails

from genops_events.catalogue.locations import (
    PLACE,
    asked_in,
    is_asked_in,
    is_served_in,
    location_in,
    moved_to,
    served_in,
)
from genops_events.catalogue.models import Catalogue
from genops_events.config.values import ConfigPart
from genops_events.reading.problems import wrong

Place = Annotated[str, Field(pattern=PLACE)]
"""A region, e.g. us-central1, a multi-region (us, eu) or global."""


class Locations(ConfigPart):
    """Where models answer; a model is tuned in `location`."""

    serving: Place | None = None
    """Where tuned models answer: a region, `us` or `eu`; by the catalogue of models if not given."""
    judging: Place | None = None
    """Where Vertex AI's evaluation service is called; `location` if not given."""
    asking: Place | None = None
    """Where published models are asked: a region, `us`, `eu` or `global`; by the catalogue of models if not given."""


class OwnLocations(ConfigPart):
    """Where the tuned models of one dataset answer."""

    serving: Place | None = None
    """In place of the configuration's `locations.serving`."""


class ServedDataset(Protocol):
    """What a dataset says that decides where its tuned models answer."""

    @property
    def locations(self) -> OwnLocations:
        """Where it wants them to answer."""

    @property
    def source_model(self) -> str:
        """What is tuned."""

    @property
    def billed_model(self) -> str:
        """The published model beneath it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where each model of one configuration is tuned, served, judged by and asked."""

    catalogue: Catalogue
    tuning: str
    """`location` of genops.yaml."""
    given: Locations

    def serving(self, dataset: ServedDataset) -> str:
        """Return where the tuned models of a dataset answer."""
        own = dataset.locations.serving or self.given.serving
        return own or served_in(self.catalogue.named(dataset.billed_model), tuned_in=self.tuning)

    def of(self, model: str) -> str:
        """Return where a model is asked: a resource in the location of its name, a published one as the catalogue says."""
        if (there := location_in(model)) is not None:
            return there
        known = self.catalogue.find(model)
        if (own := self.given.asking) is not None and (known is None or is_asked_in(known, own)):
            return own
        return self.tuning if known is None else asked_in(known, home=self.tuning)

    @property
    def judging(self) -> str:
        """Where Vertex AI's evaluation service is called."""
        return self.given.judging or self.tuning

    def of_judge(self, model: str) -> str:
        """Return the location of a judge: where it judges, if it can be asked there, or else where it is asked."""
        known = self.catalogue.find(model)
        return self.judging if known is None or is_asked_in(known, self.judging) else self.of(model)

    def served_endpoint(self, dataset: ServedDataset, endpoint: str) -> str:
        """Return what a tuned model is called by: its endpoint, in a location where such models are served.

        A model of 3.x is tuned in a region and answers in a multi-region alone, whatever region its job names.
        """
        model = self.catalogue.named(dataset.billed_model)
        there, wanted = location_in(endpoint), self.serving(dataset)
        if there is None or there == wanted or is_served_in(model, there, tuned_in=there):
            return endpoint
        return moved_to(endpoint, wanted)

    def wrong_for(self, dataset: ServedDataset) -> Iterator[InitErrorDetails]:
        """Yield the location in which the tuned models of a dataset would not answer."""
        model = self.catalogue.named(dataset.billed_model)
        own = dataset.locations.serving or self.given.serving
        if own is None or is_served_in(model, own, tuned_in=self.tuning):
            return
        known = " or ".join(model.serving.locations or ()).replace("tuning", self.tuning)
        text = (
            f"Input should be served in {known}: what is tuned from {dataset.billed_model} in {self.tuning} answers "
            f"there alone, and `locations.serving` is {own}"
        )
        place = ("source_model",) if dataset.locations.serving is None else ("locations", "serving")
        yield wrong(place, own if len(place) > 1 else dataset.source_model, text)
