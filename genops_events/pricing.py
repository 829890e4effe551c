"""What a tuning job or a run of prompts will cost, from a price table kept as data with its date and source."""

from __future__ import annotations

import difflib
from decimal import ROUND_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from genops_events.errors import PermanentError
from genops_events.training.limits import Method
from genops_events.training.parts import CHARACTERS_PER_TOKEN

CENT_FRACTION = Decimal("0.000001")
"""Amounts carry six places: one call of a small model costs less than a cent."""
_MILLION = Decimal(1_000_000)

Status = Literal["confirmed", "unconfirmed"]


class UnknownModelError(PermanentError):
    """The price table has no row for this model."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceStatus(_Row):
    """How well each price of a model is known; prices.yaml says what the words mean."""

    tuning: Status
    input: Status
    output: Status


class ModelPrice(_Row):
    """Prices of one model in US dollars per million tokens."""

    tuning_usd_per_million_training_tokens: Decimal = Field(ge=0)
    input_usd_per_million_tokens: Decimal = Field(ge=0)
    output_usd_per_million_tokens: Decimal = Field(ge=0)
    status: PriceStatus


class PriceTable(_Row):
    """A price table as it was published on a day."""

    as_of: str
    source: str
    currency: Literal["USD"]
    notes: tuple[str, ...] = ()
    tuning_notes: dict[Method, str] = {}
    """What the estimate leaves open, for each method whose price is not in the table."""
    models: dict[str, ModelPrice]

    def price(self, model: str) -> ModelPrice:
        """Return the prices of this model; a tuned endpoint is asked for by its source model.

        Raises UnknownModelError, which names the models that are known.
        """
        if (row := self.models.get(model)) is not None:
            return row
        close = difflib.get_close_matches(model, self.models, n=1)
        known = ", ".join(sorted(self.models))
        raise UnknownModelError(
            f"No price is known for the model {model!r} (price table as of {self.as_of}).",
            (f"Did you mean `{close[0]}`? " if close else "")
            + f"Known models: {known}. A tuned endpoint is billed as the model that it was tuned from.",
        )

    def tuning_cost(self, model: str, training_tokens: int, epochs: int) -> Decimal:
        """Return what tuning on this many tokens of the training file, this many times over, costs in US dollars."""
        _refuse_negative(training_tokens=training_tokens, epochs=epochs)
        price = self.price(model).tuning_usd_per_million_training_tokens
        return _round_up(price * training_tokens * epochs / _MILLION)

    def generation_cost(self, model: str, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what generating costs in US dollars; output tokens include the tokens of thinking."""
        _refuse_negative(input_tokens=input_tokens, output_tokens=output_tokens)
        row = self.price(model)
        cost = row.input_usd_per_million_tokens * input_tokens + row.output_usd_per_million_tokens * output_tokens
        return _round_up(cost / _MILLION)


@cache
def load_prices() -> PriceTable:
    """Return the price table that ships with this package, read once per process."""
    text = files("genops_events").joinpath("data", "prices.yaml").read_text(encoding="utf-8")
    return PriceTable.model_validate(yaml.safe_load(text))


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: a quarter of its characters, rounded up. Asks nobody, costs nothing."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def tuning_cost(model: str, training_tokens: int, epochs: int) -> Decimal:
    """Return the estimated price of a tuning job in US dollars, rounded up so that it never understates."""
    return load_prices().tuning_cost(model, training_tokens, epochs)


def tuning_note(method: Method) -> str:
    """Say what an estimate by `tuning_cost` leaves open where a model is tuned by this method; empty where nothing is."""
    return load_prices().tuning_notes.get(method, "")


def generation_cost(model: str, input_tokens: int, output_tokens: int) -> Decimal:
    """Return the price of generated content in US dollars, rounded up so that it never understates.

    `model` is the published model; a tuned endpoint is billed as its source model.
    """
    return load_prices().generation_cost(model, input_tokens, output_tokens)


def _round_up(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, rounding=ROUND_UP)


def _refuse_negative(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"{name} must not be negative, got {count}")
