"""What is known of a model, in groups of figures: each group with its source and the day on which that was read.

A figure that is absent is not known. It is never taken for 0, for false, or for "as all others".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from genops_events.reading.problems import raise_wrongs, wrong, wrong_value

Method = Literal["supervised", "preference", "distillation"]
"""How a model is tuned: on examples, on pairs of answers of which one is preferred, on a teacher's answers to prompts."""
METHODS: Mapping[Method, str] = {
    "supervised": "supervised tuning",
    "preference": "preference tuning",
    "distillation": "distillation",
}
"""The methods as a sentence names them."""

Kind = Literal["input", "output", "cached", "thinking", "training"]
"""Kinds of tokens that have a price of their own."""
Status = Literal["confirmed", "unconfirmed"]
"""How well a price is known: by Google's page or several independent texts, or by others than Google alone."""
Level = Literal["minimal", "low", "medium", "high"]
"""How much a model thinks, in words; from the least to the most."""
Resolution = Literal["low", "medium", "high"]
"""`media_resolution` of a request."""

IN_TUNING_REGION = "tuning"
"""Among `serving.locations`: the region that the model was tuned in."""
ANY_REGION = "regions"
"""Among `asking.locations`: every single region of Vertex AI."""


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong_value("Input should be a number, not true or false")
    return value


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise wrong_value("Input should have at least one item, or be left out where it is not known")
    return values


Price = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""US dollars per million tokens. Never 0: what costs nothing is not what this project buys."""
Share = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Locations = Annotated[tuple[str, ...], AfterValidator(_some)]


class CataloguePart(BaseModel):
    """A part of the catalogue: unknown keys are refused, and nothing is changed once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sourced(CataloguePart):
    """A group of figures that were read in one place."""

    source: str | None = None
    """Where the figures were read: an address, or who says so. That of the file where not given."""
    as_of: date | None = None
    """Day on which they were read there. That of the file where not given."""


class Life(Sourced):
    """From when to when a model can be used."""

    not_before: date | None = None
    """No retirement before this day; the day itself is not announced."""
    retires: date | None = None
    """From this day on it answers nobody; a model that was tuned from it ends with it."""
    closed_since: date | None = None
    """Since this day, Google lets only projects use it that already did."""
    replaced_by: tuple[str, ...] = ()
    """What Google names in its place."""


class Calls(Sourced):
    """How much one call takes and gives. A tuned model has the limits of the model that it was tuned from."""

    context_window_tokens: Count | None = None
    """Most input tokens of one call, system instruction included."""
    max_output_tokens: Count | None = None
    """Most tokens of one answer, thinking included."""


class Asking(Sourced):
    """Where the model itself, not a tuned one, is asked."""

    locations: Locations | None = None
    """The first is taken where genops.yaml says nothing; `regions` stands for every single region."""


class MethodFacts(Sourced):
    """What one method of tuning takes."""

    adapter_sizes: tuple[Count, ...] = ()
    """Possible ranks of the adapter."""
    teacher_models: tuple[str, ...] = ()
    """Published models that it can be distilled from."""
    locations: Locations | None = None
    """The only regions where that is done, where they are fewer than those of all methods."""


class FileLimits(Sourced):
    """What Vertex AI accepts as a training or validation file."""

    min_examples: Count | None = None
    max_examples: Count | None = None
    max_media_examples: Count | None = None
    """Examples with a file or inline data, of which fewer are allowed."""
    max_file_bytes: Count | None = None
    max_tokens_per_example: Count | None = None
    """Input and output of one example together."""
    max_images_per_example: Count | None = None
    max_documents_per_example: Count | None = None
    max_validation_examples: Count | None = None
    max_line_bytes: Count | None = None
    """This project's own bound: it bounds the memory of validation."""
    own: tuple[str, ...] = ()
    """Which of these figures are not Google's."""


class TuningFacts(Sourced):
    """How and where a model can be tuned."""

    locations: Locations | None = None
    """The only regions where it is tuned; any where not given."""
    cmek: bool | None = None
    """Whether what the job makes can be encrypted with a key of your own (`tuning.kms_key`)."""
    methods: dict[Method, MethodFacts] = {}
    """By which methods it can be tuned."""
    files: FileLimits = FileLimits()
    """What the files may hold."""


class Serving(Sourced):
    """Where a model that was tuned from this one answers."""

    locations: Locations | None = None
    """Regions and multi-regions (`us`, `eu`); `tuning` stands for the region that it was tuned in."""


class ThinkingFacts(Sourced):
    """How thinking is limited."""

    by: Literal["budget", "level"] | None = None
    """By `thinking.budget_tokens` or by `thinking.level`; a request with the other one is refused."""
    on_by_default: bool | None = None
    """Whether it thinks where a request says nothing."""
    can_be_off: bool | None = None
    """By budget: whether a budget of 0 is taken."""
    min_tokens: Count | None = None
    """By budget: least budget but 0."""
    max_tokens: Count | None = None
    """By budget: largest budget."""
    default_tokens: Count | None = None
    """By budget: most thoughts where a request says nothing, and it thinks then."""
    levels: tuple[Level, ...] = ()
    """By level: which ones are taken, the least first."""
    default_level: Level | None = None
    """By level: the one where a request says nothing."""

    @model_validator(mode="after")
    def _check_form(self) -> ThinkingFacts:
        if self.by == "budget" and (self.levels or self.default_level):
            raise_wrongs([wrong(("levels",), self.levels, 'Input should be left out with `by = "budget"`')])
        if self.by == "level" and self.max_tokens is not None:
            raise_wrongs([wrong(("max_tokens",), self.max_tokens, 'Input should be left out with `by = "level"`')])
        return self

    @property
    def least(self) -> dict[str, int | str]:
        """The keys of `thinking` in genops.yaml that let it think as little as it can; none where that is not known."""
        if self.by == "level" and self.levels:
            return {"level": self.levels[0]}
        if self.by == "budget" and self.can_be_off:
            return {"budget_tokens": 0}
        if self.by == "budget" and self.min_tokens is not None:
            return {"budget_tokens": self.min_tokens}
        return {}


class MediaTokens(CataloguePart):
    """Tokens that files are counted as."""

    image_tokens: Count | None = None
    """One image; where its size matters, the most that it can be at this resolution."""
    video_tokens_per_second: Count | None = None
    """One second of video with its sound, at one frame a second."""
    audio_tokens_per_second: Count | None = None
    """One second of sound."""
    pdf_page_tokens: Count | None = None
    """One page of a PDF, its text included."""


class Media(Sourced, MediaTokens):
    """Tokens that files are counted as, where a request says nothing of `media_resolution`."""

    resolutions: dict[Resolution, MediaTokens] = {}
    """What differs with `media_resolution: low`, `medium` or `high`."""

    def at(self, resolution: Resolution | None) -> MediaTokens:
        """Return the figures at a resolution; at the model's own choice for None."""
        own = {name: getattr(self, name) for name in MediaTokens.model_fields}
        if resolution is not None and (other := self.resolutions.get(resolution)) is not None:
            own |= other.model_dump(exclude_none=True)
        return MediaTokens.model_validate(own)


class CacheFacts(Sourced):
    """Explicit context caches."""

    least_tokens: Count | None = None
    """A cache of fewer tokens is refused."""
    of_tuned_models: bool | None = None
    """Whether a model that was tuned from this one can have one."""


class RequestFacts(Sourced):
    """What a request may not say."""

    ignored: tuple[str, ...] = ()
    """Keys of genops.yaml that the model takes and does not heed."""
    refused: tuple[str, ...] = ()
    """Keys of genops.yaml that it answers with 400."""


class Prices(Sourced):
    """What tokens cost."""

    usd_per_million_tokens: dict[Kind, Price] = {}
    """By kind of token. A kind without a figure has no price: what needs it is an error, never 0."""
    status: dict[Kind, Status] = {}
    """How well each price is known."""
    locations: dict[str, dict[Kind, Price]] = {}
    """What differs in one region or multi-region."""
    batch_discount: Share | None = None
    """Share of input and output that a batch job saves; that of `billing` where not given."""


class Model(CataloguePart):
    """One published model."""

    like: str | None = None
    """A model of the catalogue whose figures hold here, too, but for prices, dates and aliases, where no others are given."""
    publisher: str = "google"
    """As in `publishers/PUBLISHER/models/…`."""
    aliases: tuple[str, ...] = ()
    """Other names that mean the same model."""
    life: Life = Life()
    calls: Calls = Calls()
    asking: Asking = Asking()
    tuning: TuningFacts = TuningFacts()
    serving: Serving = Serving()
    thinking: ThinkingFacts = ThinkingFacts()
    media: Media = Media()
    cache: CacheFacts = CacheFacts()
    requests: RequestFacts = RequestFacts()
    prices: Prices = Prices()


GROUPS = ("life", "calls", "asking", "tuning", "serving", "thinking", "media", "cache", "requests", "prices")
"""The groups of figures of a model, each with a source and a day of its own."""


class Billing(Sourced):
    """What holds for all prices."""

    currency: Literal["USD"] = "USD"
    batch_discount: Share | None = None
    """Share of the price of input and output that a batch job saves, from 0 to below 1."""
    notes: tuple[str, ...] = ()
    tuning_notes: dict[Method, str] = {}
    """What an estimate of tuning leaves open, for each method whose price is not known."""
