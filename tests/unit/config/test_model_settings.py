"""What a model would answer with 400 is refused when genops.yaml, a form or a row is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from config_texts import changed, problems_of
from typer.testing import CliRunner

from genops_events.asking.form import WrongForm, read_form
from genops_events.catalogue.models import shipped
from genops_events.cli.config import app
from genops_events.config import Config
from genops_events.config.answers import AnswerSettings
from genops_events.config.cache_limits import CacheTooSmall, refuse_small
from genops_events.config.contestants import BadContestants, read_contestants
from genops_events.gemini.prompts import PromptRow, read_rows
from genops_events.gemini.requests import CannotAsk, Requests
from genops_events.gemini.served import evaluation_requests
from genops_events.reading.addresses import Readable

THREE, LITE, TWO, PRO = "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro"
INFERENCE = "datasets.banking77.inference"
LONG = "word " * 2_600  # 3,250 tokens


@pytest.mark.parametrize(
    ("model", "inference", "key", "allowed"),
    [
        (PRO, {"thinking": {"budget_tokens": 0}}, "thinking.budget_tokens", "from 128 to 32,768 and never 0"),
        (PRO, {"thinking": {"budget_tokens": 64}}, "thinking.budget_tokens", "from 128 to 32,768"),
        (TWO, {"thinking": {"budget_tokens": 30_000}}, "thinking.budget_tokens", "from 1 to 24,576"),
        ("gemini-2.5-flash-lite", {"thinking": {"budget_tokens": 100}}, "thinking.budget_tokens", "512"),
        (TWO, {"thinking": {"level": "high"}}, "thinking.level", "refuses a level and takes `thinking.budget_tokens`"),
        (THREE, {"thinking": {"budget_tokens": 1}}, "thinking.budget_tokens", "(minimal, low, medium, high)"),
        (THREE, {"thinking": {"budget_tokens": -1}}, "thinking.budget_tokens", "refuses a budget"),
        (TWO, {"thinking": {"budget_tokens": 0, "include_thoughts": True}}, "thinking.include_thoughts", "no thoughts"),
        (LITE, {"presence_penalty": 0.5}, "presence_penalty", f"{LITE} refuses it"),
        (LITE, {"frequency_penalty": 0.0}, "frequency_penalty", f"{LITE} refuses it"),
        (TWO, {"cache": {"text": "Short."}}, "cache.text", "at least 2,048 tokens for gemini-2.5-flash"),
        (THREE, {"cache": {"text": LONG}}, "cache", "Vertex AI keeps no cache for what is tuned from gemini-3.5-flash"),
    ],
)
def test_a_setting_that_the_model_refuses_is_named_by_its_key(
    model: str, inference: dict[str, Any], key: str, allowed: str
) -> None:
    found = problems_of(changed(source_model=model, **{f"inference__{name}": one for name, one in inference.items()}))
    assert list(found) == [f"{INFERENCE}.{key}"]
    assert allowed in found[f"{INFERENCE}.{key}"].allowed


@pytest.mark.parametrize(
    ("model", "inference"),
    [
        (PRO, {"thinking": {"budget_tokens": 128}}),
        (PRO, {"thinking": {"budget_tokens": -1, "include_thoughts": True}}),
        (TWO, {"thinking": {"budget_tokens": 0}}),
        (THREE, {"thinking": {"level": "minimal", "include_thoughts": True}}),
        (THREE, {"presence_penalty": 0.5}),
        (TWO, {"cache": {"text": LONG}}),
        (TWO, {"cache": {"text": "日" * 2_048}}),
        (TWO, {"cache": {"files": ["gs://genops-data/book.pdf"]}}),
    ],
)
def test_a_setting_that_the_model_takes_is_taken(model: str, inference: dict[str, Any]) -> None:
    Config.model_validate(changed(source_model=model, **{f"inference__{key}": one for key, one in inference.items()}))


def test_the_system_instruction_counts_as_a_part_of_the_cache() -> None:
    half = "word " * 1_300
    Config.model_validate(changed(system_instruction=half, inference__cache={"text": half}))


def test_a_cache_of_files_is_refused_by_what_vertex_ai_counts() -> None:
    model = shipped().named(TWO)
    refuse_small(2_048, model, TWO)
    with pytest.raises(
        CacheTooSmall, match=r"has 2,047 tokens, and a context cache for gemini-2\.5-flash at least 2,048"
    ):
        refuse_small(2_047, model, TWO)


def row(line: bytes) -> PromptRow:
    (read,) = read_rows([line], readable=Readable("bucket", ()))
    assert isinstance(read, PromptRow)
    return read


def test_a_row_with_a_setting_that_the_model_refuses_cannot_be_asked() -> None:
    catalogue = shipped()
    requests = Requests(AnswerSettings(), model=catalogue.with_name(THREE))
    assert requests.body(row(b'{"prompt": "a", "thinking": {"level": "low"}}'))["generationConfig"]
    with pytest.raises(CannotAsk, match=r"`thinking.budget_tokens` is 5: input should be left out: gemini-3.5-flash"):
        requests.body(row(b'{"prompt": "a", "thinking": {"budget_tokens": 5}}'))
    requests = Requests(AnswerSettings(), model=catalogue.with_name(LITE))
    with pytest.raises(CannotAsk, match=r"`presence_penalty` is 1\.0"):
        requests.body(row(b'{"prompt": "a", "presence_penalty": 1}'))


def test_contestants_are_held_against_their_own_model() -> None:
    def wrong(*contestants: Any) -> list[str]:
        return list(problems_of(changed(comparison={"contestants": list(contestants)})))

    where = "datasets.banking77.comparison.contestants.0"
    level, budget = {"thinking": {"level": "low"}}, {"thinking": {"budget_tokens": 0}}
    assert wrong({"a": {"model": "champion", "generation_config": level}}) == [
        f"{where}.generation_config.thinking.level"
    ]
    assert wrong({"a": {"model": THREE, "generation_config": budget}}) == [
        f"{where}.generation_config.thinking.budget_tokens"
    ]
    taken = [
        {"a": {"model": "champion", "generation_config": budget}},
        {"b": {"model": THREE, "generation_config": level}},
    ]
    Config.model_validate(changed(comparison={"contestants": taken}))


def test_who_asks_by_hand_is_told_the_same() -> None:
    config = Config.model_validate(changed() | {"ask": {"budget_usd": 1}})
    with pytest.raises(WrongForm, match=r"thinking\.budget_tokens"):
        read_form({"prompt": "x", "model": THREE, "settings": {"thinking": {"budget_tokens": 0}}}, config)
    with pytest.raises(WrongForm, match=r"thinking\.level"):
        read_form({"prompt": "x", "champion_of": "banking77", "settings": {"thinking": {"level": "low"}}}, config)
    asked = read_form({"prompt": "x", "model": THREE, "settings": {"thinking": {"level": "low"}}}, config)
    assert asked.settings.thinking is not None


CLAUDE = "publishers/anthropic/models/claude-sonnet-5"


@pytest.mark.parametrize(
    "name", [CLAUDE, f"projects/p/locations/global/{CLAUDE}", "claude-sonnet-5", "llama-4-maverick"]
)
def test_a_partners_model_is_refused_by_name_wherever_a_model_is_named(name: str) -> None:
    said = "another form of request for partners' models than generateContent"
    where = "datasets.banking77"
    judge = {"file": "e.jsonl", "metrics": ["fluency"], "judge": {"model": name}}
    for data, key in (
        (changed(source_model=name), f"{where}.source_model"),
        (changed(evaluation=judge), f"{where}.evaluation.judge.model"),
        (changed(comparison={"contestants": [{"a": {"model": name}}]}), f"{where}.comparison.contestants.0.model"),
    ):
        assert said in problems_of(data)[key].allowed
    with pytest.raises(BadContestants, match=said):
        read_contestants([f"them: {{model: {name}}}"], shipped(), TWO)
    config = Config.model_validate(changed() | {"ask": {"budget_usd": 1}})
    with pytest.raises(WrongForm, match=said):
        read_form({"prompt": "x", "model": name}, config)


def test_googles_models_are_known_by_their_long_name_too() -> None:
    long = f"publishers/google/models/{THREE}"
    judged = {"file": "e.jsonl", "metrics": ["fluency"], "judge": {"model": long}}
    data = changed(
        source_model=f"publishers/google/models/{TWO}", evaluation=judged, comparison={"contestants": [{"a": long}]}
    )
    dataset = Config.model_validate(data).dataset("banking77")
    assert dataset.source_model == TWO
    assert dataset.evaluation.judge.model == THREE
    assert dataset.comparison.contestants[0].model == THREE


def test_what_is_tuned_from_a_model_of_today_takes_no_key_of_ones_own() -> None:
    key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    found = problems_of(changed(source_model=THREE, tuning__kms_key=key))
    assert "cannot be encrypted with a key of your own" in found["datasets.banking77.tuning.kms_key"].allowed


@pytest.mark.parametrize("name", ["google-arrivals", "goog", "googly"])
def test_a_name_that_pub_sub_keeps_for_google_is_refused(name: str) -> None:
    found = problems_of(changed() | {"topics": {"arrivals": name, "completions": f"{name}-2"}, "subscription": name})
    assert set(found) == {"topics.arrivals", "topics.completions", "subscription"}
    assert all("begin with `goog`" in one.allowed for one in found.values())
    Config.model_validate(changed() | {"topics": {"arrivals": f"my-{name}"}, "subscription": "Goog-le"})


def test_a_setting_that_the_model_does_not_heed_is_told_where_it_was_given(tmp_path: Path) -> None:
    price = f'[models."{LITE}".prices]\nusd_per_million_tokens = {{ training = 1 }}\n'
    (tmp_path / "models.toml").write_text(f'as_of = 2026-11-30\nsource = "a test"\n{price}', encoding="utf-8")
    file = tmp_path / "genops.yaml"
    for inference, told in (({"inference__temperature": 0.5}, True), ({}, False)):
        file.write_text(yaml.safe_dump(changed(source_model=LITE, **inference) | {"models": "models.toml"}))
        done = CliRunner().invoke(app, ["check", str(file)])
        assert done.exit_code == 0
        assert ("inference.temperature has no effect: gemini-3.5-flash-lite ignores it" in done.stderr) is told


def test_a_champion_of_another_model_is_asked_without_what_that_model_refuses() -> None:
    own = {"presence_penalty": 0.5, "thinking": {"budget_tokens": 100}, "top_p": 0.9}
    config = Config.model_validate(changed(source_model=TWO, **{f"inference__{key}": one for key, one in own.items()}))
    dataset = config.dataset("banking77")
    as_served = evaluation_requests(config, dataset, TWO).common()["generationConfig"]
    assert (as_served["presencePenalty"], as_served["thinkingConfig"], as_served["topP"]) == (
        0.5,
        {"thinkingBudget": 100},
        0.9,
    )
    by_another = evaluation_requests(config, dataset, LITE).common()["generationConfig"]
    assert "presencePenalty" not in by_another
    assert "thinkingBudget" not in by_another.get("thinkingConfig", {})
    assert by_another["topP"] == 0.9
