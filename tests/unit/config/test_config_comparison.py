"""The part `comparison` of genops.yaml: who is compared, and what is wrong with it in words."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from config_texts import MINIMAL, changed, problems_of

from genops_events.catalogue.models import shipped
from genops_events.config import json_schema, parse_config
from genops_events.config.comparison import Comparison
from genops_events.config.contestants import BadContestants, Contestant, kind_of, read_contestants

ENDPOINT = "projects/mine/locations/us-central1/endpoints/7"
CANDIDATE = "banking77-0123456789abcdef"


def made(**comparison: Any) -> Comparison:
    return parse_config(yaml.safe_dump(changed(comparison=comparison))).datasets["banking77"].comparison


def problems(**comparison: Any) -> dict[str, Any]:
    found = problems_of(changed(comparison=comparison))
    return {key.removeprefix("datasets.banking77.comparison."): one for key, one in found.items()}


def test_without_the_part_nobody_is_compared_and_metrics_are_those_of_the_evaluation() -> None:
    dataset = parse_config(MINIMAL).datasets["banking77"]
    assert dataset.comparison.contestants == ()
    assert dataset.comparison.measured_with(dataset.evaluation) == ("exact_match", "rouge")


def test_contestants_are_named_in_short_and_in_full() -> None:
    found = made(
        contestants=[
            "champion",
            "gemini-2.5-pro",
            CANDIDATE,
            {"lite": "gemini-2.5-flash-lite"},
            {"warm": {"model": "champion", "generation_config": {"temperature": 1}}},
            {"grounded": {"model": "gemini-2.5-flash", "generation_config": {"grounding": "google_search"}}},
            {"theirs": {"model": ENDPOINT, "base_model": "gemini-2.5-flash", "system_instruction": ""}},
        ],
        metrics=["bleu"],
        budget_usd=2.5,
    )
    names = ["champion", "gemini-2.5-pro", CANDIDATE, "lite", "warm", "grounded", "theirs"]
    assert [one.name for one in found.contestants] == names
    kinds = ["champion", "published", "candidate", "published", "champion", "published", "endpoint"]
    assert [one.kind for one in found.contestants] == kinds
    assert found.contestants[4].settings == {"temperature": 1.0}
    assert [one.answers_as_usual for one in found.contestants] == [True, True, True, True, False, False, False]
    assert found.budget_usd == Decimal("2.5")


@pytest.mark.parametrize(
    ("contestants", "key", "allowed", "near"),
    [
        (["champion", "champion"], "1.name", "a name that no other contestant has", None),
        (["champion", {"champion": "gemini-2.5-pro"}], "1.name", "a name that no other contestant has", None),
        (["gemini-2.5-flsh"], "0.model", "champion, a candidate, one of", "gemini-2.5-flash"),
        (["champoin"], "0.model", "champion, a candidate, one of", "champion"),
        ([{"a": {"model": ENDPOINT}}], "0.base_model", "the published model beneath the endpoint", None),
        ([{"a": {"model": ENDPOINT, "base_model": "gemini-2.5-prp"}}], "0.base_model", "one of", "gemini-2.5-pro"),
        ([{"a": {"model": "champion", "base_model": "gemini-2.5-pro"}}], "0.base_model", "only for an endpoint", None),
        ([ENDPOINT], "0", "a name of its own", None),
        ([{"a b": "champion"}], "0.name", "a name of letters, digits", None),
        (["Champion!"], "0.model", "`champion`, a candidate", None),
        ([{"a": 3}], "0", "a model, or keys such as", None),
        ([{"a": {"modell": "champion"}}], "0.modell", "name, model", "model"),
        (
            [{"a": {"model": "champion", "generation_config": {"temprature": 1}}}],
            "0.generation_config.temprature",
            "temperature, top_p",
            "temperature",
        ),
        (
            [{"a": {"model": "champion", "generation_config": {"candidate_count": 2}}}],
            "0.generation_config.candidate_count",
            "one answer of each contestant is compared",
            None,
        ),
    ],
)
def test_a_contestant_that_cannot_be_used_is_named_with_what_is_allowed(
    contestants: list[Any], key: str, allowed: str, near: str | None
) -> None:
    found = problems(contestants=contestants)
    one = found[f"contestants.{key}"]
    assert allowed in one.allowed
    assert one.did_you_mean == near
    assert one.line is not None


def test_a_model_of_the_users_own_file_can_take_part(tmp_path: Path) -> None:
    own = '[models.gemini-9-ultra]\nlike = "gemini-3.5-flash"\nprices = { usd_per_million_tokens = { input = 1, output = 2 } }\n'
    (tmp_path / "models.toml").write_text(f'as_of = 2026-12-01\nsource = "us"\n{own}', encoding="utf-8")
    data = changed(comparison={"contestants": ["gemini-9-ultra"]}) | {"models": "models.toml"}
    config = parse_config(yaml.safe_dump(data), name=str(tmp_path / "genops.yaml"))
    assert config.datasets["banking77"].comparison.contestants[0].kind == "published"


def test_metrics_that_cannot_be_measured_are_named() -> None:
    found = problems(metrics=["exact_mtch", "pairwise"])
    assert found["metrics.0"].did_you_mean == "exact_match"
    assert "each has a score of its own" in found["metrics.1"].allowed
    assert "budget_usd" in problems(budget=3)["budget"].did_you_mean
    assert problems(budget_usd=-1)["budget_usd"].allowed
    assert problems(contestants="champion")["contestants"].allowed == "a list, e.g. [one, two]"


def test_prompts_must_lie_where_they_are_not_tuned_on() -> None:
    found = problems_of(changed(comparison={"prompts": "training/banking77/p.jsonl"}))
    assert "outside `training/banking77/`" in found["datasets.banking77.comparison.prompts"].allowed
    assert made(prompts="gs://genops-data/prompts/p.jsonl").prompts == "prompts/p.jsonl"


def test_the_json_schema_takes_every_form() -> None:
    forms = ["champion", {"a": "champion"}, {"b": {"model": "champion", "generation_config": {"temperature": 1}}}]
    data = changed(comparison={"contestants": forms})
    jsonschema.validate(json.loads(json.dumps(data)), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(comparison={"contestants": [{"a": {"modell": "champion"}}]}), json_schema())


def read(texts: list[str]) -> tuple[Contestant, ...]:
    return read_contestants(texts, shipped(), "gemini-2.5-flash")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gemini-2.5-flsh", "did you mean `gemini-2.5-flash`"),
        ("x: {model: gemini-3.5-flash, generation_config: {thinking: {budget_tokens: 5}}}", "refuses a budget"),
        ("x: {model: champion, generation_config: {thinking: {level: low}}}", "gemini-2.5-flash refuses a level"),
        ("x: {model: gemini-3.5-flash-lite, generation_config: {presence_penalty: 1}}", "refuses it"),
        (f"x: {{model: {ENDPOINT}, base_model: gemini-9}}", "contestants.0.base_model"),
    ],
)
def test_what_a_contestants_model_does_not_take_is_refused_when_a_form_or_a_command_names_it(
    text: str, said: str
) -> None:
    with pytest.raises(BadContestants) as caught:
        read([text])
    assert said in caught.value.message


def test_texts_of_a_form_are_read_as_yaml() -> None:
    texts = [
        "champion",
        "warm: {model: champion, generation_config: {temperature: 1.0}}",
        '{"name": "x", "model": "champion"}',
    ]
    assert [one.name for one in read(texts)] == ["champion", "warm", "x"]
    assert read([]) == ()
    with pytest.raises(BadContestants, match="is no YAML"):
        read(["a: {b"])
    with pytest.raises(BadContestants, match=r"3 problems (?s:.)*did you mean `temperature`"):
        read(["a: {model: champion, generation_config: {temprature: 1}}", "9!"])


def test_a_model_of_no_form_is_of_no_kind() -> None:
    with pytest.raises(ValueError, match="No!"):
        kind_of("No!")
    assert Contestant(name="a", model=CANDIDATE).kind == "candidate"
