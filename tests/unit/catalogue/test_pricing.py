"""What an estimate says, by the prices of the catalogue."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.catalogue.models import UnknownFigureError, UnknownModelError, read_models, shipped
from genops_events.catalogue.prices import Rates, rates_of
from genops_events.errors import PermanentError

FLASH = "gemini-2.5-flash"
TOKENS = st.integers(min_value=0, max_value=10**12)
MODELS = st.sampled_from(
    [name for name, model in shipped().models.items() if "training" in model.prices.usd_per_million_tokens]
)
OWN = """
as_of = 2026-11-01
source = "our contract"
[models.judge-1.prices]
usd_per_million_tokens = { input = 1, output = 2 }
[models."gemini-2.5-flash".prices.locations]
europe-west4 = { output = 3, training = 6 }
"""


def rates(model: str = FLASH) -> Rates:
    return rates_of(shipped(), model)


def tuning_cost(model: str, tokens: int, epochs: int) -> Decimal:
    return rates(model).tuning_cost(tokens, epochs)


def generation_cost(model: str, input_tokens: int, output_tokens: int) -> Decimal:
    return rates(model).generation_cost(input_tokens, output_tokens)


def test_tuning_is_billed_by_tokens_times_epochs() -> None:
    assert tuning_cost(FLASH, 1_000_000, 3) == Decimal(15)
    assert tuning_cost("gemini-2.5-pro", 100_000, 2) == Decimal(5)


def test_each_kind_of_token_has_its_price() -> None:
    assert generation_cost(FLASH, 1_000_000, 1_000_000) == Decimal("2.80")
    assert rates().generation_cost(1_000_000, 0, cached_tokens=1_000_000) == Decimal("0.03")
    assert rates().generation_cost(1_000_000, 0, cached_tokens=400_000) == Decimal("0.192")
    assert rates().generation_cost(0, 0, thinking_tokens=1_000_000) == Decimal("2.50")


def test_a_batch_job_costs_less_by_the_discount() -> None:
    assert rates().generation_cost(1_000_000, 1_000_000, batch=True) == Decimal("1.40")


def test_fraction_is_rounded_up() -> None:
    assert str(generation_cost(FLASH, 1, 0)) == "0.000001"
    assert str(generation_cost(FLASH, 0, 1)) == "0.000003"


@settings(deadline=None)
@given(MODELS, TOKENS, TOKENS)
def test_estimate_never_understates_and_has_six_places(model: str, input_tokens: int, output_tokens: int) -> None:
    prices = shipped().models[model].prices.usd_per_million_tokens
    exact = (prices["input"] * input_tokens + prices["output"] * output_tokens) / (Decimal(10) ** 6)
    cost = generation_cost(model, input_tokens, output_tokens)
    assert exact <= cost < exact + Decimal("0.000001")
    assert cost.as_tuple().exponent == -6


@settings(deadline=None)
@given(MODELS, TOKENS, st.integers(min_value=0, max_value=100))
def test_more_tokens_never_cost_less(model: str, tokens: int, epochs: int) -> None:
    assert tuning_cost(model, tokens, epochs) <= tuning_cost(model, tokens + 1, epochs)


def test_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModelError) as caught:
        tuning_cost("gemini-2.5-flsh", 1, 1)
    assert isinstance(caught.value, PermanentError)
    assert "Did you mean `gemini-2.5-flash`?" in caught.value.hint
    assert "gemini-2.5-pro" in caught.value.hint


def test_a_kind_of_token_without_a_price_is_an_error_and_never_free() -> None:
    own = rates_of(read_models(OWN, name="own.toml"), "judge-1")
    assert own.generation_cost(1_000_000, 0) == 1
    with pytest.raises(UnknownFigureError, match="No price is known for training tokens of judge-1") as caught:
        own.tuning_cost(0, 1)
    assert '[models."judge-1".prices]' in caught.value.hint
    assert "usd_per_million_tokens = { training = … }" in caught.value.hint
    # What only refines input or output is priced as these: after the call, there must be a price.
    assert own.generation_cost(1_000_000, 0, cached_tokens=1_000_000) == 1
    assert own.generation_cost(0, 0, thinking_tokens=1_000_000) == 2


def test_tuning_has_the_price_of_its_region_and_answers_that_of_theirs() -> None:
    catalogue = read_models(OWN, name="own.toml")
    found = rates_of(catalogue, FLASH, "us", tuned_in="europe-west4")
    assert (found.price("training"), found.price("output")) == (6, Decimal("2.5"))
    found = rates_of(catalogue, FLASH, "europe-west4", tuned_in="us-central1")
    assert (found.price("training"), found.price("output"), found.price("input")) == (5, 3, Decimal("0.3"))


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="input_tokens"):
        generation_cost(FLASH, -1, 0)
    with pytest.raises(ValueError, match="epochs"):
        tuning_cost(FLASH, 1, -1)
    with pytest.raises(ValueError, match="cached_tokens"):
        rates().generation_cost(1, 0, cached_tokens=2)


def test_keeping_a_cache_is_priced_by_tokens_and_hours_and_never_free_where_the_price_is_not_known() -> None:
    rates = rates_of(shipped(), "gemini-2.5-pro")
    assert rates.keeping_cost(2_000_000, 1.5) == Decimal("13.5")
    assert rates.keeping_cost(2_000_000, -1) == 0
    with pytest.raises(UnknownFigureError, match="tokens that a context cache keeps for an hour"):
        rates_of(shipped(), "gemini-3.5-flash").keeping_cost(1, 1)
