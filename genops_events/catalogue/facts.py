"""The figures of a model in groups, each with its source and the day on which the source was read.

An absent figure is unknown. It is never taken for 0, for false, or for that of other models.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from genops_events.reading.problems import raise_wrongs, wrong, wrong_value

Method = Literal["supervised", "preference", "distillation"]
"""Method of tuning: on examples, on pairs of answers of which one is preferred, or on a teacher's answers to prompts."""
METHODS: Mapping[Method, str] = {
    "supervised": "supervised tuning",
    "preference": "preference tuning",
    "distillation": "distillation",
}
"""Names of the methods for sentences."""

Kind = Literal["input", "output", "cached", "cache_hour", "thinking", "training"]
"""Kinds of tokens that have a price of their own; `cache_hour`: a token that a context cache keeps for an hour."""
Status = Literal["confirmed", "unconfirmed"]
"""Source of a price: `confirmed` by Google's page or several independent texts; `unconfirmed` if only others than Google have it."""
Level = Literal["minimal", "low", "medium", "high"]
"""Levels of thinking, from the least to the most."""
Resolution = Literal["low", "medium", "high"]
"""`media_resolution` of a request."""

IN_TUNING_REGION = "tuning"
"""In `serving.locations`: the region in which the model was tuned."""
ANY_REGION = "regions"
"""In `asking.locations`: every single region of Vertex AI."""


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong_value("Input should be a number, not true or false")
    return value


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise wrong_value("Input should have at least one item, or be left out where it is not known")
    return values


Price = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""US dollars per million tokens; never 0."""
Share = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Locations = Annotated[tuple[str, ...], AfterValidator(_some)]


class CataloguePart(BaseModel):
    """A part of the catalogue, immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sourced(CataloguePart):
    """A group of figures from one source."""

    source: str | None = None
    """An address, or a name; that of the file where absent."""
    as_of: date | None = None
    """Day on which the source was read; that of the file where absent."""


class Life(Sourced):
    """The time in which a model can be used."""

    not_before: date | None = None
    """The model does not retire before this day; the day of retirement is not announced."""
    retires: date | None = None
    """From this day on, the model and all models that were tuned from it do not answer any more."""
    closed_since: date | None = None
    """Since this day, only projects that used the model before may use it."""
    replaced_by: tuple[str, ...] = ()
    """Models that Google recommends in its place."""


class Calls(Sourced):
    """Limits of one call. A tuned model has the limits of the model that it was tuned from."""

    context_window_tokens: Count | None = None
    """Most input tokens of one call, system instruction included."""
    max_output_tokens: Count | None = None
    """Most tokens of one answer, thinking included."""


class Asking(Sourced):
    """Locations in which the published model itself, not a tuned one, is asked."""

    locations: Locations | None = None
    """The first is used where genops.yaml names none; `regions` stands for every single region."""


class MethodFacts(Sourced):
    """What one method of tuning accepts."""

    adapter_sizes: tuple[Count, ...] = ()
    """Possible ranks of the adapter."""
    teacher_models: tuple[str, ...] = ()
    """Published models that it can be distilled from."""
    locations: Locations | None = None
    """The only regions of this method, if they are fewer than those of all methods."""


class FileLimits(Sourced):
    """Vertex AI's limits on training and validation files."""

    min_examples: Count | None = None
    max_examples: Count | None = None
    max_media_examples: Count | None = None
    """Most examples with a file or inline data."""
    max_file_bytes: Count | None = None
    max_tokens_per_example: Count | None = None
    """Tokens of input and output of one example together."""
    max_images_per_example: Count | None = None
    max_documents_per_example: Count | None = None
    max_validation_examples: Count | None = None
    max_line_bytes: Count | None = None
    """This project's own limit, which bounds the memory of validation."""
    own: tuple[str, ...] = ()
    """Names of the figures that are not Google's."""


class TuningFacts(Sourced):
    """Methods, locations and files of tuning."""

    locations: Locations | None = None
    """The only regions in which the model is tuned; any region where absent."""
    cmek: bool | None = None
    """Whether the results of the job can be encrypted with a key of one's own (`tuning.kms_key`)."""
    methods: dict[Method, MethodFacts] = {}
    """The methods by which the model can be tuned."""
    files: FileLimits = FileLimits()
    """Limits on the files."""


class Serving(Sourced):
    """Locations in which a model that was tuned from this one answers."""

    locations: Locations | None = None
    """Regions and multi-regions (`us`, `eu`); `tuning` stands for the region in which it was tuned."""


class ThinkingFacts(Sourced):
    """How thinking is limited."""

    by: Literal["budget", "level"] | None = None
    """By `thinking.budget_tokens` or by `thinking.level`; a request with the other one is refused."""
    on_by_default: bool | None = None
    """Whether the model thinks if a request does not set it."""
    can_be_off: bool | None = None
    """By budget: whether a budget of 0 is accepted."""
    min_tokens: Count | None = None
    """By budget: least budget above 0."""
    max_tokens: Count | None = None
    """By budget: largest budget."""
    default_tokens: Count | None = None
    """By budget: most tokens of thoughts if a request does not set it, and the model thinks then."""
    levels: tuple[Level, ...] = ()
    """By level: the accepted levels, the least first."""
    default_level: Level | None = None
    """By level: the level if a request does not set it."""

    @model_validator(mode="after")
    def _check_form(self) -> ThinkingFacts:
        if self.by == "budget" and (self.levels or self.default_level):
            raise_wrongs([wrong(("levels",), self.levels, 'Input should be left out with `by = "budget"`')])
        if self.by == "level" and self.max_tokens is not None:
            raise_wrongs([wrong(("max_tokens",), self.max_tokens, 'Input should be left out with `by = "level"`')])
        return self

    @property
    def least(self) -> dict[str, int | str]:
        """The keys of `thinking` in genops.yaml for the least thinking that is possible; empty where that is unknown."""
        if self.by == "level" and self.levels:
            return {"level": self.levels[0]}
        if self.by == "budget" and self.can_be_off:
            return {"budget_tokens": 0}
        if self.by == "budget" and self.min_tokens is not None:
            return {"budget_tokens": self.min_tokens}
        return {}


class MediaTokens(CataloguePart):
    """Number of tokens that files count as."""

    image_tokens: Count | None = None
    """Of one image; if its size matters, the most that it can have at this resolution."""
    video_tokens_per_second: Count | None = None
    """Of one second of video with its sound, at one frame a second."""
    audio_tokens_per_second: Count | None = None
    """One second of sound."""
    pdf_page_tokens: Count | None = None
    """One page of a PDF, its text included."""


class Media(Sourced, MediaTokens):
    """Number of tokens that files count as if a request does not set `media_resolution`."""

    resolutions: dict[Resolution, MediaTokens] = {}
    """Figures that differ with `media_resolution: low`, `medium` or `high`."""

    def at(self, resolution: Resolution | None) -> MediaTokens:
        """Return the figures at a resolution; None for the model's default."""
        own = {name: getattr(self, name) for name in MediaTokens.model_fields}
        if resolution is not None and (other := self.resolutions.get(resolution)) is not None:
            own |= other.model_dump(exclude_none=True)
        return MediaTokens.model_validate(own)


class CacheFacts(Sourced):
    """Explicit context caches."""

    least_tokens: Count | None = None
    """Least tokens of a cache: one with fewer is refused."""
    of_tuned_models: bool | None = None
    """Whether a model that was tuned from this one can have a cache."""


class RequestFacts(Sourced):
    """Settings that a request must not have."""

    ignored: tuple[str, ...] = ()
    """Keys of genops.yaml that the model accepts and ignores."""
    refused: tuple[str, ...] = ()
    """Keys of genops.yaml that the model refuses with 400."""


class Prices(Sourced):
    """Prices of tokens."""

    usd_per_million_tokens: dict[Kind, Price] = {}
    """By kind of token; of `cache_hour`, for an hour. A kind without a figure has no price: using it is an error, and never free."""
    status: dict[Kind, Status] = {}
    """By kind of token, whether the price is confirmed."""
    locations: dict[str, dict[Kind, Price]] = {}
    """Prices that differ in one region or multi-region."""
    batch_discount: Share | None = None
    """Share of the price of input and output that a batch job saves; that of `billing` where absent."""


class Model(CataloguePart):
    """One published model."""

    like: str | None = None
    """Another model of the catalogue, whose figures are used where this one has none; without prices, dates and aliases."""
    publisher: str = "google"
    """As in `publishers/PUBLISHER/models/…`."""
    aliases: tuple[str, ...] = ()
    """Other names of the same model."""
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
"""The groups of figures of a model, each with its own source and day."""


class Billing(Sourced):
    """Figures for all prices."""

    currency: Literal["USD"] = "USD"
    batch_discount: Share | None = None
    """Share of the price of input and output that a batch job saves, from 0 to below 1."""
    notes: tuple[str, ...] = ()
    tuning_notes: dict[Method, str] = {}
    """Caveats about the estimated cost of tuning, by method."""
