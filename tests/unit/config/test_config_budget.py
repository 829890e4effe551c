"""The parts of genops.yaml about money, and the files that it names."""

from __future__ import annotations

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_texts import CONFIG, problems_of

from genops_events.config import Config, load_config, parse_config
from genops_events.errors import ConfigError

FLASH = "gemini-2.5-flash"
PRICES = (
    'as_of = 2026-11-01\nsource = "us"\n[models."gemini-2.5-flash".prices.usd_per_million_tokens]\ntraining = 1.25\n'
)


def written(
    folder: Path, own: dict[str, Any] | None = None, *, evaluation: dict[str, Any] | None = None, **keys: Any
) -> Path:
    data = copy.deepcopy(CONFIG) | keys
    data["datasets"]["banking77"]["budget"] |= own or {}
    data["datasets"]["banking77"]["evaluation"] |= evaluation or {}
    file = folder / "genops.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return file


def test_without_a_word_only_the_three_known_limits_count() -> None:
    config = Config.model_validate(CONFIG)
    budget = config.dataset("banking77").budget
    assert (budget.tuning_usd, budget.inference_usd, budget.monthly_usd) == (25, Decimal("5.5"), 200)
    assert (budget.candidate_usd, budget.prompt_tokens, budget.prompt_characters) == (None, None, None)
    assert config.budget.monthly_usd is None
    assert config.rates(FLASH).price("training") == 5


def test_every_limit_can_be_given(tmp_path: Path) -> None:
    more = {"candidate_usd": 30, "prompt_tokens": 1000, "prompt_characters": 4000}
    config = load_config(written(tmp_path, more, budget={"monthly_usd": "500.50"}))
    assert config.dataset("banking77").budget.candidate_usd == 30
    assert config.budget.monthly_usd == Decimal("500.50")


@pytest.mark.parametrize(
    ("budget", "key"),
    [
        ({"candidate_usd": -1}, "candidate_usd"),
        ({"candidate_usd": True}, "candidate_usd"),
        ({"prompt_tokens": 0}, "prompt_tokens"),
        ({"monthly": 5}, "monthly"),
    ],
)
def test_a_wrong_limit_is_named(budget: dict[str, Any], key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, budget))
    assert [one.key for one in caught.value.problems] == [f"datasets.banking77.budget.{key}"]


def test_a_price_file_that_changes_counts_from_then_on_and_not_for_what_was_read_before(tmp_path: Path) -> None:
    prices = tmp_path / "ours.toml"
    prices.write_text(PRICES)
    file = written(tmp_path, models="ours.toml")
    before = load_config(file)
    prices.write_text(PRICES.replace("1.25", "2.5"))
    after = load_config(file)
    assert (before.rates(FLASH).price("training"), after.rates(FLASH).price("training")) == (Decimal("1.25"), 2.5)
    written(tmp_path, {"monthly_usd": 7}, models="ours.toml")
    assert load_config(file).dataset("banking77").budget.monthly_usd == 7
    assert after.dataset("banking77").budget.monthly_usd == 200


def test_the_prices_of_the_users_file_are_those_that_count(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(PRICES, encoding="utf-8")
    config = load_config(written(tmp_path, models="ours.toml"))
    assert config.rates(FLASH).tuning_cost(1_000_000, 2) == Decimal("2.5")
    assert config.model_copy(update={"location": "us-east1"}).rates(FLASH).price("training") == Decimal("1.25")
    assert load_config(written(tmp_path)).rates(FLASH).price("training") == 5


def test_a_context_cache_whose_keeping_has_no_price_is_an_error_before_anything_is_spent(tmp_path: Path) -> None:
    def settings(prices: str, **inference: Any) -> Path:
        (tmp_path / "ours.toml").write_text(
            'as_of = 2026-11-01\nsource = "us"\n[models.ours]\nlike = "gemini-2.5-flash"\n'
            f"[models.ours.prices.usd_per_million_tokens]\n{prices}",
            encoding="utf-8",
        )
        datasets = copy.deepcopy(CONFIG["datasets"])
        datasets["banking77"]["source_model"] = "ours"
        datasets["banking77"]["inference"] |= inference
        return written(tmp_path, datasets=datasets, models="ours.toml")

    prices = "input = 1\noutput = 2\ntraining = 3\n"
    cached: dict[str, Any] = {"mode": "online", "cache": {"text": "word " * 20_000}}
    load_config(settings(prices))
    with pytest.raises(ConfigError, match=r"tokens that a context cache keeps for an hour \(`cache_hour`\) of ours"):
        load_config(settings(prices, **cached))
    load_config(settings(f"{prices}cache_hour = 1\n", **cached))


JUDGED = {"metrics": ["fluency"], "decisive": "fluency", "gate": {}}


def test_a_judge_without_a_price_is_an_error_before_anything_is_spent(tmp_path: Path) -> None:
    own = "projects/p/locations/l/endpoints/7"
    file = written(tmp_path, evaluation=JUDGED | {"judge": {"model": own}})
    with pytest.raises(
        ConfigError, match="No price is known for the model 'projects/p/locations/l/endpoints/7'"
    ) as caught:
        load_config(file)
    assert [one.key for one in caught.value.problems] == ["datasets.banking77.evaluation.judge.model"]
    price = f'[models."{own}".prices.usd_per_million_tokens]\ninput = 0.3\noutput = 2.5\n'
    (tmp_path / "ours.toml").write_text(PRICES + price, encoding="utf-8")
    config = load_config(written(tmp_path, evaluation=JUDGED | {"judge": {"model": own}}, models="ours.toml"))
    assert config.rates(own).generation_cost(1_000_000, 0) == Decimal("0.3")


def test_a_judge_that_is_not_asked_needs_no_price(tmp_path: Path) -> None:
    load_config(written(tmp_path, evaluation={"judge": {"model": "gemini-9"}}))


def test_a_price_file_that_is_not_there_or_wrong_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"which `models` in genops\.yaml names, cannot be read: No such file"):
        load_config(written(tmp_path, models="ours.toml"))
    (tmp_path / "ours.toml").write_text(PRICES.replace("training", "trainign"), encoding="utf-8")
    with pytest.raises(ConfigError, match="trainign"):
        load_config(written(tmp_path, models="ours.toml"))
    with pytest.raises(ConfigError, match="TOML file") as caught:
        parse_config(yaml.safe_dump(CONFIG | {"models": "gs://bucket/ours.toml"}))
    assert [one.key for one in caught.value.problems] == ["models"]


def test_limits_of_calls_come_from_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(
        f'as_of = 2026-11-01\nsource = "us"\n[models."{FLASH}".calls]\ncontext_window_tokens = 10\n', encoding="utf-8"
    )
    limits = load_config(written(tmp_path, models="ours.toml")).call_limits(FLASH)
    assert (limits.context_window_tokens, limits.max_output_tokens) == (10, 65_535)


def test_the_keys_of_before_say_what_took_their_place() -> None:
    found = problems_of(CONFIG | {"prices": "prices.toml", "limits": "limits.toml"})
    assert set(found) == {"prices", "limits"}
    for one in found.values():
        assert one.problem == "this key is gone"
        assert "`models: FILE.toml`" in one.allowed


def test_a_model_that_genops_does_not_know_is_tuned_and_priced_by_the_users_file(tmp_path: Path) -> None:
    own = (
        'as_of = 2026-12-01\nsource = "Google"\n[models.gemini-9]\nlike = "gemini-2.5-flash"\n'
        "prices = { usd_per_million_tokens = { input = 1, output = 2, training = 3 } }\n"
        "tuning = { locations = ['us-central1'] }\n"
    )
    (tmp_path / "ours.toml").write_text(own, encoding="utf-8")
    file = written(tmp_path, models="ours.toml")
    file.write_text(file.read_text().replace(FLASH, "gemini-9"))
    config = load_config(file)
    assert config.rates("gemini-9").tuning_cost(1_000_000, 1) == 3
    assert config.file_limits("gemini-9").max_tokens_per_example == 131_072
    file.write_text(file.read_text().replace("us-central1", "us-east1"))
    with pytest.raises(ConfigError, match="used in us-central1 only"):
        load_config(file)


def test_a_model_without_a_price_of_training_asks_for_it_and_shows_the_lines(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text().replace(FLASH, "gemini-3.5-flash"))
    with pytest.raises(ConfigError, match=r"training tokens of gemini-3\.5-flash in us-central1 \(") as caught:
        load_config(file)
    (problem,) = caught.value.problems
    assert problem.key == "datasets.banking77.source_model"
    lines = (
        problem.allowed.split("for instance:\n", 1)[1].replace("as_of = …", "as_of = 2026-12-01").replace("…", "1.5")
    )
    (tmp_path / "ours.toml").write_text("\n".join(line.strip() for line in lines.splitlines()), encoding="utf-8")
    file = written(tmp_path, models="ours.toml")
    file.write_text(file.read_text().replace(FLASH, "gemini-3.5-flash"))
    assert load_config(file).rates("gemini-3.5-flash").price("training") == Decimal("1.5")
