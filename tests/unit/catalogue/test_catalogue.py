"""The catalogue of models: what ships, what a user's file adds and overrides, and what a typing error in it is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_events.catalogue.facts import GROUPS, Sourced
from genops_events.catalogue.models import UnknownFigureError, UnknownModelError, read_models, shipped
from genops_events.catalogue.tuning_models import UnknownLimitsError, load_limits
from genops_events.catalogue.windows import call_limits_of
from genops_events.errors import ConfigError

FLASH = "gemini-2.5-flash"
TUNED = ("gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.1-flash-lite")
OWN = """
as_of = 2026-11-01
source = "our contract"
[models."gemini-2.5-flash".prices]
usd_per_million_tokens = { input = 0.1 }
[models."gemini-2.5-flash".prices.locations]
europe-west4 = { output = 3 }
[models.gemini-9]
like = "gemini-3.5-flash"
[models.gemini-9.tuning.files]
min_examples = 2
"""


def test_every_figure_has_a_source_and_the_day_on_which_it_was_read() -> None:
    catalogue = shipped()
    for name, model in catalogue.models.items():
        for group in GROUPS:
            facts: Sourced = getattr(model, group)
            if facts.model_fields_set - {"source", "as_of"}:
                assert facts.source, (name, group)
                assert facts.as_of is not None, (name, group)
    assert shipped() is catalogue


def test_every_price_says_how_well_it_is_known() -> None:
    for model in shipped().models.values():
        assert set(model.prices.status) == set(model.prices.usd_per_million_tokens)


def test_no_price_of_tuning_is_made_up_for_models_of_which_none_was_found() -> None:
    for name in TUNED:
        assert "training" not in shipped().models[name].prices.usd_per_million_tokens


@pytest.mark.parametrize("name", TUNED)
def test_a_model_of_today_is_tuned_in_a_region_and_served_in_a_multi_region(name: str) -> None:
    model = shipped().named(name)
    assert model.tuning.locations == ("us-central1", "europe-west4")
    assert model.serving.locations == ("us", "eu")
    assert model.asking.locations == ("global", "us", "eu")
    assert model.tuning.cmek is False
    assert model.thinking.least == {"level": "minimal"}
    assert load_limits(name).methods["supervised"].adapter_sizes == (1, 2, 4, 8, 16)


def test_what_can_be_tuned_says_what_a_file_may_hold() -> None:
    for name in shipped().tunable():
        assert load_limits(name).min_examples == 16
        assert call_limits_of(shipped(), name).context_window_tokens == 1_048_576


def test_thinking_has_a_least_value_of_its_own() -> None:
    least = {name: shipped().models[name].thinking.least for name in (FLASH, "gemini-2.5-pro", "gemini-3.8-flash")}
    assert least == {
        FLASH: {"budget_tokens": 0},
        "gemini-2.5-pro": {"budget_tokens": 128},
        "gemini-3.8-flash": {"level": "low"},
    }


def test_media_are_counted_by_resolution() -> None:
    media = shipped().named("gemini-3.5-flash").media
    assert media.at(None).image_tokens == media.at("high").image_tokens == 1_120
    assert (media.at("low").image_tokens, media.at("low").audio_tokens_per_second) == (280, 32)
    assert media.at("high").video_tokens_per_second == 312


def test_a_model_is_found_by_its_id_its_alias_and_its_address() -> None:
    catalogue = shipped()
    found = catalogue.named("gemini-3.1-flash-lite")
    assert catalogue.find("gemini-3.1-flash-lite-preview") is found
    assert catalogue.find("publishers/google/models/gemini-3.1-flash-lite") is found
    assert catalogue.find("projects/p/locations/us/publishers/google/models/gemini-3.1-flash-lite") is found
    assert catalogue.find("projects/p/locations/us/endpoints/7") is None
    with pytest.raises(UnknownModelError) as caught:
        catalogue.named("gemini-2.5-flsh")
    assert "Did you mean `gemini-2.5-flash`?" in caught.value.hint
    assert '[models."gemini-2.5-flsh"]' in caught.value.hint


def test_a_users_file_overrides_figure_by_figure() -> None:
    catalogue = read_models(OWN, name="own.toml")
    prices = catalogue.models[FLASH].prices
    assert (prices.source, str(prices.as_of)) == ("our contract", "2026-11-01")
    assert prices.usd_per_million_tokens["input"] == Decimal("0.1")
    assert prices.usd_per_million_tokens["output"] == Decimal("2.5")
    assert prices.locations == {"europe-west4": {"output": 3}}
    assert "input" not in prices.status
    assert prices.status["output"] == "confirmed"
    assert catalogue.models["gemini-2.5-pro"] == shipped().models["gemini-2.5-pro"]
    assert catalogue.billing.batch_discount == Decimal("0.5")
    assert shipped().models[FLASH].prices.usd_per_million_tokens["input"] == Decimal("0.30")


def test_a_model_of_tomorrow_takes_over_what_another_has_but_no_price_and_no_date() -> None:
    found = read_models(OWN, name="own.toml").named("gemini-9")
    assert found.serving.locations == ("us", "eu")
    assert (found.tuning.files.min_examples, found.tuning.files.max_examples) == (2, 10_000_000)
    assert found.prices.usd_per_million_tokens == {}
    assert (found.life.not_before, found.aliases) == (None, ())


def test_a_model_that_says_little_is_asked_for_what_is_missing() -> None:
    catalogue = read_models(
        'as_of = 2026-11-01\nsource = "us"\n[models.gemini-9]\npublisher = "google"', name="own.toml"
    )
    with pytest.raises(UnknownFigureError, match="how much one call of gemini-9"):
        call_limits_of(catalogue, "gemini-9")
    with pytest.raises(UnknownLimitsError, match="knows no way to tune 'gemini-9'"):
        load_limits("gemini-9", catalogue)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("source", "sorce", "did you mean `source`?"),
        ("input = 0.1", "inptu = 0.1", "inptu"),
        ("input = 0.1", "input = 0", "models.gemini-2.5-flash.prices.usd_per_million_tokens.input"),
        ("input = 0.1", "input = -1", "greater than 0"),
        ("input = 0.1", "input = nan", "finite"),
        ("input = 0.1", 'input = "cheap"', "a number"),
        ("input = 0.1", "input = true", "true"),
        ("as_of = 2026-11-01", "", "as_of: this key is missing"),
        ("as_of = 2026-11-01", 'as_of = "lately"', "as_of"),
        ("min_examples = 2", "min_example = 2", "did you mean `min_examples`?"),
        ('like = "gemini-3.5-flash"', 'like = "gemini-8"', "models.gemini-9.like"),
        ('like = "gemini-3.5-flash"', 'like = "gemini-9"', "models.gemini-9.like"),
        ('source = "our contract"', 'source = "our contract', "is not TOML"),
    ],
)
def test_a_typing_error_is_named_with_its_key(before: str, after: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_models(OWN.replace(before, after, 1), name="own.toml")
    assert "own.toml" in caught.value.message
    assert said in caught.value.message
    assert caught.value.problems


def test_a_price_is_no_float() -> None:
    price = read_models(OWN, name="own.toml").models[FLASH].prices.usd_per_million_tokens["input"]
    assert price * 3 == Decimal("0.3")
