from __future__ import annotations

from decimal import Decimal
from importlib.resources import files

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.errors import PermanentError
from genops_events.pricing import UnknownModelError, generation_cost, load_prices, tuning_cost
from genops_events.training_data import load_limits

TOKENS = st.integers(min_value=0, max_value=10**12)
MODELS = st.sampled_from(sorted(load_prices().models))


def test_tuning_is_billed_by_tokens_times_epochs() -> None:
    assert tuning_cost("gemini-2.5-flash", 1_000_000, 3) == Decimal(15)
    assert tuning_cost("gemini-2.5-pro", 100_000, 2) == Decimal(5)


def test_generation_is_billed_by_input_and_output() -> None:
    assert generation_cost("gemini-2.5-flash", 1_000_000, 1_000_000) == Decimal("2.80")


def test_fraction_is_rounded_up() -> None:
    assert str(generation_cost("gemini-2.5-flash", 1, 0)) == "0.000001"
    assert str(generation_cost("gemini-2.5-flash", 0, 1)) == "0.000003"


@settings(deadline=None)
@given(MODELS, TOKENS, TOKENS)
def test_estimate_never_understates_and_has_six_places(model: str, input_tokens: int, output_tokens: int) -> None:
    price = load_prices().models[model]
    exact = (
        price.input_usd_per_million_tokens * input_tokens + price.output_usd_per_million_tokens * output_tokens
    ) / (Decimal(10) ** 6)
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


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="input_tokens"):
        generation_cost("gemini-2.5-flash", -1, 0)
    with pytest.raises(ValueError, match="epochs"):
        tuning_cost("gemini-2.5-flash", 1, -1)


def test_table_says_its_date_and_source_and_is_read_once() -> None:
    table = load_prices()
    assert table.as_of
    assert table.source.startswith("https://cloud.google.com/")
    assert load_prices() is table


def test_every_priced_model_has_limits_and_the_other_way_round() -> None:
    limits = yaml.safe_load(files("genops_events").joinpath("data", "models.yaml").read_text())["models"]
    assert set(limits) == set(load_prices().models)
    for model in limits:
        assert load_limits(model).min_examples == 16
