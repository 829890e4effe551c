"""Prices as data: what an estimate says, what a user's file overrides, and what a typing error in it is told."""

from __future__ import annotations

from decimal import Decimal
from importlib.resources import files

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.errors import ConfigError, PermanentError
from genops_events.inference.prompt_limits import UnknownWindowError, load_call_limits, parse_limits
from genops_events.money.pricing import (
    UnknownModelError,
    UnknownPriceError,
    load_prices,
    parse_prices,
)
from genops_events.training_data import load_limits

FLASH = "gemini-2.5-flash"
TOKENS = st.integers(min_value=0, max_value=10**12)
MODELS = st.sampled_from(sorted(load_prices().models))
OWN = """
as_of = 2026-11-01
source = "our contract"
[models."gemini-2.5-flash"]
usd_per_million_tokens = { input = 0.1 }
[models."gemini-2.5-flash".regions]
europe-west4 = { output = 3 }
[models.judge-1]
usd_per_million_tokens = { input = 1, output = 2 }
"""


def tuning_cost(model: str, tokens: int, epochs: int) -> Decimal:
    return load_prices().rates(model).tuning_cost(tokens, epochs)


def generation_cost(model: str, input_tokens: int, output_tokens: int) -> Decimal:
    return load_prices().rates(model).generation_cost(input_tokens, output_tokens)


def test_tuning_is_billed_by_tokens_times_epochs() -> None:
    assert tuning_cost(FLASH, 1_000_000, 3) == Decimal(15)
    assert tuning_cost("gemini-2.5-pro", 100_000, 2) == Decimal(5)


def test_each_kind_of_token_has_its_price() -> None:
    rates = load_prices().rates(FLASH)
    assert generation_cost(FLASH, 1_000_000, 1_000_000) == Decimal("2.80")
    assert rates.generation_cost(1_000_000, 0, cached_tokens=1_000_000) == Decimal("0.03")
    assert rates.generation_cost(1_000_000, 0, cached_tokens=400_000) == Decimal("0.192")
    assert rates.generation_cost(0, 0, thinking_tokens=1_000_000) == Decimal("2.50")


def test_a_batch_job_costs_less_by_the_discount() -> None:
    assert load_prices().rates(FLASH).generation_cost(1_000_000, 1_000_000, batch=True) == Decimal("1.40")


def test_fraction_is_rounded_up() -> None:
    assert str(generation_cost(FLASH, 1, 0)) == "0.000001"
    assert str(generation_cost(FLASH, 0, 1)) == "0.000003"


@settings(deadline=None)
@given(MODELS, TOKENS, TOKENS)
def test_estimate_never_understates_and_has_six_places(model: str, input_tokens: int, output_tokens: int) -> None:
    prices = load_prices().models[model].usd_per_million_tokens
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
    rates = load_prices().overridden_by(parse_prices(OWN, name="own.toml")).rates("judge-1")
    assert rates.generation_cost(1_000_000, 0) == 1
    with pytest.raises(UnknownPriceError, match="No price is known for training tokens of judge-1"):
        rates.tuning_cost(0, 1)
    # What only refines input or output is priced as these: after the call, there must be a price.
    assert rates.generation_cost(1_000_000, 0, cached_tokens=1_000_000) == 1
    assert rates.generation_cost(0, 0, thinking_tokens=1_000_000) == 2


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="input_tokens"):
        generation_cost(FLASH, -1, 0)
    with pytest.raises(ValueError, match="epochs"):
        tuning_cost(FLASH, 1, -1)
    with pytest.raises(ValueError, match="cached_tokens"):
        load_prices().rates(FLASH).generation_cost(1, 0, cached_tokens=2)


def test_table_says_its_date_and_source_and_is_read_once() -> None:
    table = load_prices()
    assert table.as_of
    assert table.source.startswith("https://cloud.google.com/")
    assert load_prices() is table
    for row in table.models.values():
        assert set(row.status) == set(row.usd_per_million_tokens)


def test_every_priced_model_has_limits_and_the_other_way_round() -> None:
    limits = yaml.safe_load(files("genops_events").joinpath("data", "models.yaml").read_text())["models"]
    assert set(limits) == set(load_prices().models) == set(load_call_limits().models)
    for model in limits:
        assert load_limits(model).min_examples == 16


def test_a_users_file_overrides_figure_by_figure() -> None:
    table = load_prices().overridden_by(parse_prices(OWN, name="own.toml"))
    assert (str(table.as_of), table.source) == ("2026-11-01", "our contract")
    assert table.rates(FLASH).price("input") == Decimal("0.1")
    assert table.rates(FLASH).price("output") == Decimal("2.5")
    assert table.rates(FLASH, "europe-west4").price("output") == 3
    assert table.rates(FLASH, "europe-west4").price("input") == Decimal("0.1")
    assert table.rates("gemini-2.5-pro").price("training") == 25
    assert table.batch_discount == Decimal("0.5")
    assert "input" not in table.models[FLASH].status


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("source", "sorce", "did you mean `source`?"),
        ("input = 0.1", "inptu = 0.1", "inptu"),
        ("input = 0.1", "input = 0", "models.gemini-2.5-flash.usd_per_million_tokens.input"),
        ("input = 0.1", "input = -1", "greater than 0"),
        ("input = 0.1", "input = nan", "finite"),
        ("input = 0.1", 'input = "cheap"', "a number"),
        ("input = 0.1", "input = true", "true"),
        ("as_of = 2026-11-01", "", "as_of: this key is missing"),
        ("as_of = 2026-11-01", 'as_of = "lately"', "as_of"),
        (
            "usd_per_million_tokens = { input = 1, output = 2 }",
            "",
            "judge-1.usd_per_million_tokens: this key is missing",
        ),
        ('source = "our contract"', 'source = "our contract', "is not TOML"),
    ],
)
def test_a_typing_error_in_a_price_file_is_named_with_its_key(before: str, after: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_prices(OWN.replace(before, after, 1), name="own.toml")
    assert "own.toml" in caught.value.message
    assert said in caught.value.message
    assert caught.value.problems


def test_a_price_is_no_float() -> None:
    price = parse_prices(OWN, name="own.toml").models[FLASH].usd_per_million_tokens["input"]
    assert price * 3 == Decimal("0.3")


def test_limits_of_calls_are_data_too() -> None:
    own = parse_limits(
        'as_of = 2026-11-01\nsource = "us"\n[models]\njudge-1 = { context_window_tokens = 9, max_output_tokens = 1 }',
        name="own.toml",
    )
    table = load_call_limits().overridden_by(own)
    assert table.of("judge-1").context_window_tokens == 9
    assert table.of(FLASH).context_window_tokens > 1_000_000
    with pytest.raises(UnknownWindowError, match="gemini-9"):
        table.of("gemini-9")
    with pytest.raises(ConfigError, match="context_window_tokens"):
        parse_limits('as_of = 2026-11-01\nsource = "us"\n[models]\nx = { context_window = 9 }', name="own.toml")
