"""What tuning or a run of prompts will cost, by the prices of the catalogue of models."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from genops_events.catalogue.facts import Kind, Method
from genops_events.catalogue.models import Catalogue, no_price

CENT_FRACTION = Decimal("0.000001")
"""Amounts carry six places: one call of a small model costs less than a cent."""
ANY_REGION = "any region"
_MILLION = Decimal(1_000_000)


def rates_of(catalogue: Catalogue, model: str, location: str = ANY_REGION, *, tuned_in: str | None = None) -> Rates:
    """Return what a published model costs; a tuned endpoint is asked for by the model that it was tuned from.

    Args:
        catalogue: that has its prices.
        model: id of the model.
        location: where it, or the model that was tuned from it, answers.
        tuned_in: region where it is tuned, for the price of training; `location` where not given.

    Raises:
        UnknownModelError: the catalogue does not have it.
    """
    found, key = catalogue.named(model), catalogue.id_of(model) or model
    prices = found.prices
    by_place = {**prices.usd_per_million_tokens, **prices.locations.get(location, {})}
    training = prices.locations.get(tuned_in or location, {}).get(
        "training", prices.usd_per_million_tokens.get("training")
    )
    if training is not None:
        by_place["training"] = training
    discount = prices.batch_discount if prices.batch_discount is not None else catalogue.billing.batch_discount
    as_of = str(prices.as_of or catalogue.as_of)
    return Rates(key, location, by_place, discount or Decimal(0), as_of, tuned_in or location)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model costs where it answers, and where it is tuned."""

    model: str
    region: str
    """Where it answers."""
    prices: dict[Kind, Decimal]
    """US dollars per million tokens."""
    batch_discount: Decimal
    as_of: str
    tuned_in: str
    """Where the price of training is that of."""

    def price(self, kind: Kind) -> Decimal:
        """Return the price of a million tokens of this kind.

        Raises:
            UnknownFigureError: there is none. It is never taken for 0.
        """
        if (found := self.prices.get(kind)) is not None:
            return found
        where = self.tuned_in if kind == "training" else self.region
        raise no_price(self.model, kind, where, self.prices, self.as_of)

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
            batch: whether a batch job makes the answers. The discounts of a cache and of a batch job do not add up, and that
                of the cache takes precedence: a token from a cache has its price whole. Google's page on batch inference,
                https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini (2026-11-30).
        """
        counts = {"output_tokens": output_tokens, "cached_tokens": cached_tokens, "thinking_tokens": thinking_tokens}
        _refuse_negative(input_tokens=input_tokens, **counts)
        if cached_tokens > input_tokens:
            raise ValueError(f"cached_tokens must be among the {input_tokens} input_tokens, got {cached_tokens}")
        cost = self.price("input") * (input_tokens - cached_tokens) + self.price("output") * output_tokens
        # Where a finer kind has no price, that of the coarser one never understates: cached input is cheaper than input.
        cost += self.prices.get("thinking", self.price("output")) * thinking_tokens
        cost *= 1 - self.batch_discount if batch else 1
        cost += self._cached_price * cached_tokens
        return _round_up(cost / _MILLION)

    @property
    def _cached_price(self) -> Decimal:
        return self.prices.get("cached", self.price("input"))

    def most_for(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, batch: bool = False
    ) -> Decimal:
        """Return the most that generating can cost where nobody knows how much of the output will be thinking.

        Nobody knows either what of the input the service will have in a cache of its own: where a token from a cache is the
        dearer one, as it may be beside a batch job's discount, all are priced so.

        Arguments as `generation_cost` has them; `cached_tokens` are in a cache that the calls name, which batch jobs cannot.
        """
        asked = self.price("input") * (1 - self.batch_discount if batch else 1)
        if self._cached_price > asked:
            cached_tokens = input_tokens
        elif batch:
            cached_tokens = 0
        dearest = self.prices.get("thinking", Decimal(0)) > self.price("output")
        output, thinking = (0, output_tokens) if dearest else (output_tokens, 0)
        return self.generation_cost(
            input_tokens, output, cached_tokens=cached_tokens, thinking_tokens=thinking, batch=batch
        )


def tuning_note(catalogue: Catalogue, method: Method) -> str:
    """Say what an estimate by `Rates.tuning_cost` leaves open where a model is tuned by this method; empty where nothing is."""
    return catalogue.billing.tuning_notes.get(method, "")


def _round_up(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, rounding=ROUND_UP)


def _refuse_negative(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"{name} must not be negative, got {count}")
