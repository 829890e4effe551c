"""What tuning or a run of prompts will cost, from a price table kept as data with its date and source."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from genops_events.config_parts.toml_tables import parse_table
from genops_events.errors import PermanentError
from genops_events.training.limits import Method
from genops_events.training.parts import CHARACTERS_PER_TOKEN

CENT_FRACTION = Decimal("0.000001")
"""Amounts carry six places: one call of a small model costs less than a cent."""
ANY_REGION = "any region"
_MILLION = Decimal(1_000_000)

Status = Literal["confirmed", "unconfirmed"]
Kind = Literal["input", "output", "cached", "thinking", "training"]
"""Kinds of tokens that have a price of their own."""


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")  # noqa: TRY004 - what pydantic takes
    return value


Price = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""US dollars per million tokens. Never 0: what costs nothing is not what this project buys."""
Share = Annotated[Decimal, BeforeValidator(_refuse_bool), Field(ge=0, lt=1, allow_inf_nan=False)]


class UnknownModelError(PermanentError):
    """The price table has no row for this model."""


class UnknownPriceError(PermanentError):
    """The price table knows the model, and has no price for this kind of token."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelPrice(_Row):
    """Prices of one model."""

    usd_per_million_tokens: dict[Kind, Price] = Field(min_length=1)
    """By kind of token: input, output, cached, thinking, training."""
    status: dict[Kind, Status] = {}
    """How well each price is known: confirmed or unconfirmed."""
    regions: dict[str, dict[Kind, Price]] = {}
    """What differs in one region."""


class PriceTable(_Row):
    """A price table as it was published on a day."""

    as_of: date
    """Day on which the prices held, as 2026-03-15."""
    source: Annotated[str, Field(min_length=1)]
    """Where the prices were read."""
    currency: Literal["USD"] = "USD"
    """USD, the only one."""
    batch_discount: Share | None = None
    """Share of the price of input and output that a batch job saves, from 0 to below 1."""
    notes: tuple[str, ...] = ()
    """What holds for all prices."""
    tuning_notes: dict[Method, str] = {}
    """What the estimate leaves open, for each method whose price is not in the table."""
    models: dict[str, ModelPrice]
    """Prices by published model."""

    def rates(self, model: str, region: str = ANY_REGION) -> Rates:
        """Return what this model costs in this region; a tuned endpoint is asked for by its source model.

        Raises UnknownModelError, which names the models that are known.
        """
        if (row := self.models.get(model)) is not None:
            prices = {**row.usd_per_million_tokens, **row.regions.get(region, {})}
            return Rates(model, region, prices, self.batch_discount or Decimal(0), str(self.as_of))
        close = difflib.get_close_matches(model, self.models, n=1)
        known = ", ".join(sorted(self.models))
        raise UnknownModelError(
            f"No price is known for the model {model!r} (price table as of {self.as_of}).",
            (f"Did you mean `{close[0]}`? " if close else "")
            + f"Known models: {known}. A tuned endpoint is billed as the model that it was tuned from. "
            "Add a price to the file that `prices` in genops.yaml names.",
        )

    def overridden_by(self, own: PriceTable) -> PriceTable:
        """Return this table with every figure that `own` has in place of its own."""
        models = dict(self.models)
        for name, row in own.models.items():
            before = models.get(name)
            models[name] = row if before is None else _merged(before, row)
        given = own.model_fields_set - {"models", "tuning_notes"}
        more: dict[str, Any] = {key: getattr(own, key) for key in given}
        return self.model_copy(
            update=more | {"models": models, "tuning_notes": {**self.tuning_notes, **own.tuning_notes}}
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model costs in one region."""

    model: str
    region: str
    prices: dict[Kind, Decimal]
    """US dollars per million tokens."""
    batch_discount: Decimal
    as_of: str

    def price(self, kind: Kind) -> Decimal:
        """Return the price of a million tokens of this kind.

        Raises:
            UnknownPriceError: there is none. It is never taken for 0.
        """
        if (found := self.prices.get(kind)) is not None:
            return found
        raise UnknownPriceError(
            f"No price is known for {kind} tokens of {self.model} in {self.region} (price table as of {self.as_of}).",
            f"Prices are known for {', '.join(self.prices)}. Add it to the file that `prices` in genops.yaml names.",
        )

    def tuning_cost(self, training_tokens: int, epochs: int) -> Decimal:
        """Return what tuning on this many tokens of the training file, this many times over, costs in US dollars."""
        _refuse_negative(training_tokens=training_tokens, epochs=epochs)
        return _round_up(self.price("training") * training_tokens * epochs / _MILLION)

    def generation_cost(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cached_tokens: int = 0,
        thinking_tokens: int = 0,
        batch: bool = False,
    ) -> Decimal:
        """Return what generating costs in US dollars, rounded up so that it never understates.

        Args:
            input_tokens: all of the prompt, with what came from a cache (as `usage_metadata` counts it).
            output_tokens: of the answer.
            cached_tokens: how many of the input tokens came from a cache; priced as input where they have no price.
            thinking_tokens: beside those of the answer; priced as output where they have no price.
            batch: whether a batch job makes the answers.
        """
        counts = {"output_tokens": output_tokens, "cached_tokens": cached_tokens, "thinking_tokens": thinking_tokens}
        _refuse_negative(input_tokens=input_tokens, **counts)
        if cached_tokens > input_tokens:
            raise ValueError(f"cached_tokens must be among the {input_tokens} input_tokens, got {cached_tokens}")
        cost = self.price("input") * (input_tokens - cached_tokens) + self.price("output") * output_tokens
        # Where a finer kind has no price, that of the coarser one never understates: cached input is cheaper than input.
        cost += self.prices.get("cached", self.price("input")) * cached_tokens
        cost += self.prices.get("thinking", self.price("output")) * thinking_tokens
        return _round_up(cost * (1 - self.batch_discount if batch else 1) / _MILLION)

    def most_for(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, batch: bool = False
    ) -> Decimal:
        """Return the most that generating can cost where nobody knows how much of the output will be thinking.

        Arguments as `generation_cost` has them.
        """
        dearest = self.prices.get("thinking", Decimal(0)) > self.price("output")
        output, thinking = (0, output_tokens) if dearest else (output_tokens, 0)
        return self.generation_cost(
            input_tokens, output, cached_tokens=cached_tokens, thinking_tokens=thinking, batch=batch
        )


@cache
def load_prices() -> PriceTable:
    """Return the price table that ships with this package, read once per process."""
    text = files("genops_events").joinpath("data", "prices.toml").read_text(encoding="utf-8")
    return parse_prices(text, name="prices.toml")


def parse_prices(text: str, *, name: str) -> PriceTable:
    """Check the text of a price file; raise ConfigError that names each key that is wrong. `name` is for messages."""
    return parse_table(text, PriceTable, name=name)


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: a quarter of its ASCII characters, rounded up, and each other character.

    Asks nobody, costs nothing. Of Chinese or Japanese, a token holds about one character: a quarter would be far too low.
    """
    ascii_characters = len(text.encode("ascii", "ignore"))
    return -(-ascii_characters // CHARACTERS_PER_TOKEN) + len(text) - ascii_characters


def tuning_note(method: Method) -> str:
    """Say what an estimate by `Rates.tuning_cost` leaves open where a model is tuned by this method; empty where nothing is."""
    return load_prices().tuning_notes.get(method, "")


def _merged(before: ModelPrice, own: ModelPrice) -> ModelPrice:
    regions = {name: {**before.regions.get(name, {}), **row} for name, row in own.regions.items()}
    prices = {**before.usd_per_million_tokens, **own.usd_per_million_tokens}
    # What is known about our figure says nothing about the user's.
    status = {kind: value for kind, value in before.status.items() if kind not in own.usd_per_million_tokens}
    return ModelPrice(
        usd_per_million_tokens=prices, status={**status, **own.status}, regions={**before.regions, **regions}
    )


def _round_up(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, rounding=ROUND_UP)


def _refuse_negative(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"{name} must not be negative, got {count}")
