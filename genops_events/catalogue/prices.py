"""The cost of tuning and of answers, by the prices of the catalogue of models."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from genops_events.catalogue.facts import Kind, Method
from genops_events.catalogue.models import Catalogue, no_price

CENT_FRACTION = Decimal("0.000001")
"""Amounts have six decimal places: one call of a small model costs less than a cent."""
ANY_REGION = "any region"
_MILLION = Decimal(1_000_000)


def rates_of(catalogue: Catalogue, model: str, location: str = ANY_REGION, *, tuned_in: str | None = None) -> Rates:
    """Return the prices of a published model; those of a tuned endpoint are the prices of the model that it was tuned from.

    Args:
        catalogue: of models.
        model: id of the model.
        location: in which it, or the model that was tuned from it, answers.
        tuned_in: region in which it is tuned, for the price of training; `location` if None.

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
    """Prices of one model in the locations in which it answers and is tuned."""

    model: str
    region: str
    """Location in which it answers."""
    prices: dict[Kind, Decimal]
    """US dollars per million tokens."""
    batch_discount: Decimal
    as_of: str
    tuned_in: str
    """Location of the price of training."""

    def price(self, kind: Kind) -> Decimal:
        """Return the price of a million tokens of this kind.

        Raises:
            UnknownFigureError: there is none; it is never taken for 0.
        """
        if (found := self.prices.get(kind)) is not None:
            return found
        where = self.tuned_in if kind == "training" else self.region
        raise no_price(self.model, kind, where, self.prices, self.as_of)

    def tuning_cost(self, training_tokens: int, epochs: int) -> Decimal:
        """Return the cost in USD of tuning on so many tokens of the training file, in so many epochs."""
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
        """Return the cost of answers in USD, rounded up, so that it is never too low.

        Args:
            input_tokens: of the prompts, those from a cache included (as `usage_metadata` counts them).
            output_tokens: of the answers.
            cached_tokens: input tokens that came from a cache; at the price of input where they have none.
            thinking_tokens: on top of `output_tokens`; at the price of output where they have none.
            batch: whether a batch job makes the answers. The discounts of a cache and of a batch job do not add up, and that
                of the cache takes precedence: a token from a cache has no batch discount. Google's page on batch inference,
                https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini (2026-11-30).
        """
        counts = {"output_tokens": output_tokens, "cached_tokens": cached_tokens, "thinking_tokens": thinking_tokens}
        _refuse_negative(input_tokens=input_tokens, **counts)
        if cached_tokens > input_tokens:
            raise ValueError(f"cached_tokens must be among the {input_tokens} input_tokens, got {cached_tokens}")
        cost = self.price("input") * (input_tokens - cached_tokens) + self.price("output") * output_tokens
        # Without a price of thinking or cached input, the one of output or input is used, which is never too low.
        cost += self.prices.get("thinking", self.price("output")) * thinking_tokens
        cost *= 1 - self.batch_discount if batch else 1
        cost += self._cached_price * cached_tokens
        return _round_up(cost / _MILLION)

    @property
    def _cached_price(self) -> Decimal:
        return self.prices.get("cached", self.price("input"))

    def keeping_cost(self, tokens: int, hours: float) -> Decimal:
        """Return the cost in USD of keeping a context cache of so many tokens for so many hours, rounded up.

        Raises:
            UnknownFigureError: keeping has no price.
        """
        _refuse_negative(tokens=tokens)
        return _round_up(self.price("cache_hour") * tokens * Decimal(max(0.0, hours)) / _MILLION)

    def most_for(
        self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, batch: bool = False
    ) -> Decimal:
        """Return the most in USD that answers can cost, when it is unknown how much of the output will be thinking.

        It is also unknown how much of the input the service will take from a cache of its own. If a token from a cache is the
        more expensive one, as it may be beside a batch job's discount, all input has that price.

        Arguments as those of `generation_cost`; `cached_tokens` are in a cache that the calls name, which batch jobs cannot.
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
    """Return the caveat about an estimate by `Rates.tuning_cost` for this method; empty where there is none."""
    return catalogue.billing.tuning_notes.get(method, "")


def _round_up(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, rounding=ROUND_UP)


def _refuse_negative(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise ValueError(f"{name} must not be negative, got {count}")
