"""The part `tuning` of genops.yaml: everything that a tuning job takes, refused by name where it would not be taken."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from config_texts import CONFIG

from genops_events.config import Config, json_schema, parse_config
from genops_events.config.tuning import Tuning, filled_in
from genops_events.errors import ConfigError, ConfigProblem

FLASH, LITE, PRO = "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"
TUNED = "projects/p/locations/us-central1/models/123"
DISTILLED = {"method": "distillation", "teacher_model": "gemini-3.1-pro"}
KEY = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"


def data(*, location: str = "us-central1", **keys: Any) -> dict[str, Any]:
    """Return a configuration with these keys of `tuning`; `source_model` and `base_model` go to the dataset."""
    made = copy.deepcopy(CONFIG) | {"location": location}
    dataset = made["datasets"]["banking77"]
    for key in ("source_model", "base_model"):
        if key in keys:
            dataset[key] = keys.pop(key)
    dataset["tuning"] = keys
    return made


def tuning(**keys: Any) -> Tuning:
    return Config.model_validate(data(**keys)).dataset("banking77").tuning


def problems(**keys: Any) -> dict[str, ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(data(**keys), sort_keys=False))
    return {one.key.removeprefix("datasets.banking77.tuning."): one for one in caught.value.problems}


def test_without_a_word_a_model_is_tuned_supervised_from_its_source_and_the_last_checkpoint_is_served() -> None:
    made = tuning()
    assert (made.method, made.epochs, made.adapter_size, made.learning_rate_multiplier) == ("supervised", 3, 4, 1.0)
    assert (made.checkpoints, made.serve_checkpoint, made.start_from) == ("all", "last", "source_model")
    assert (made.model_name, made.description, made.labels) == ("{candidate}", None, {})
    for key in (
        "beta",
        "teacher_model",
        "start_checkpoint",
        "kms_key",
        "service_account",
    ):
        assert getattr(made, key) is None


def test_one_tuning_job_at_a_time_is_what_google_guarantees() -> None:
    assert Config.model_validate(CONFIG).tuning_jobs_at_once == 1
    assert Config.model_validate(CONFIG | {"tuning_jobs_at_once": 7}).tuning_jobs_at_once == 7
    with pytest.raises(ConfigError, match="tuning_jobs_at_once"):
        parse_config(yaml.safe_dump(CONFIG | {"tuning_jobs_at_once": 0}))


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "preference", "beta": 0.1},
        {"method": "preference", "source_model": LITE, "adapter_size": 16},
        {**DISTILLED, "teacher_model": TUNED},
        {"checkpoints": "last", "serve_checkpoint": 3},
        {"serve_checkpoint": 2},
        {"epochs": 10, "serve_checkpoint": 4},
        {"epochs": 40, "serve_checkpoint": 40},
        {"start_from": "champion", "start_checkpoint": "2"},
        {"source_model": f"{TUNED}@2", "base_model": PRO, "start_checkpoint": "2"},
        {"model_name": None},
        {"model_name": "Banks, {dataset}: {candidate}", "description": "{candidate}"},
        {"labels": {"team": "bänke", "größe": "", "cost-centre_2": "4711"}},
        {"kms_key": KEY, "service_account": "tuner@my-project.iam.gserviceaccount.com"},
        {"service_account": "123-compute@developer.gserviceaccount.com"},
    ],
)
def test_what_vertex_ai_takes_is_taken(keys: dict[str, Any]) -> None:
    made = tuning(**keys)
    for key, value in keys.items():
        if key not in ("source_model", "base_model"):
            assert getattr(made, key) == value


@pytest.mark.parametrize(
    ("keys", "key", "allowed"),
    [
        ({"beta": 0.1}, "beta", "left out: `tuning.beta` is for preference tuning"),
        ({"method": "preference", "teacher_model": PRO}, "teacher_model", "`tuning.teacher_model` is for distillation"),
        ({**DISTILLED, "checkpoints": "last"}, "checkpoints", "all: Vertex AI keeps every checkpoint"),
        ({"method": "preference", "beta": 0}, "beta", "greater than 0"),
        ({"method": "distillation"}, "teacher_model", "distillation needs one"),
        (
            {**DISTILLED, "teacher_model": "gemini-3.1-por"},
            "teacher_model",
            "one of gemini-3.1-pro for gemini-2.5-flash",
        ),
        ({"serve_checkpoint": 4}, "serve_checkpoint", "last, or an epoch from 1 to 3"),
        ({"serve_checkpoint": 0}, "serve_checkpoint", "last, or the number of an epoch"),
        ({"serve_checkpoint": True}, "serve_checkpoint", "last, or the number of an epoch"),
        ({"serve_checkpoint": 1.5}, "serve_checkpoint", "last, or the number of an epoch"),
        ({"serve_checkpoint": "first"}, "serve_checkpoint", "last, or the number of an epoch"),
        ({"checkpoints": "last", "serve_checkpoint": 1}, "serve_checkpoint", "no other checkpoint is kept"),
        ({"epochs": 11, "serve_checkpoint": 4}, "serve_checkpoint", "about 10 checkpoints, not one of each epoch"),
        ({"start_checkpoint": "2"}, "start_checkpoint", "gemini-2.5-flash is a published one"),
        ({"start_checkpoint": 2}, "start_checkpoint", "a text (in quotes"),
        ({"start_from": "winner"}, "start_from", "source_model, champion"),
        ({"model_name": "{name}"}, "model_name", "no braces but {candidate} and {dataset}; it has {name}"),
        ({"model_name": "{candidate"}, "model_name", "it has {candidate"),
        ({"model_name": " "}, "model_name", "a text, or left out"),
        ({"model_name": "x" * 129}, "model_name", "at most 128 characters once filled in; it has 129"),
        ({"model_name": "{candidate}" + "x" * 103}, "model_name", "it has 129"),
        ({"description": "}"}, "description", "no braces"),
        ({"labels": {f"k{number}": "" for number in range(63)}}, "labels", "at most 62 labels"),
        ({"labels": {"genops-candidate": "x"}}, "labels", "no label that begins with `genops-`"),
        ({"labels": {"Team": "x"}}, "labels", "'Team' is not one"),
        ({"labels": {"2nd": "x"}}, "labels", "a letter first"),
        ({"labels": {"": "x"}}, "labels", "a letter first"),
        ({"labels": {"k" * 64: "x"}}, "labels", "at most 63"),
        ({"labels": {"team": "A b"}}, "labels", "that of team is not one"),
        ({"labels": {"team": "v" * 64}}, "labels", "at most 63"),
        ({"labels": {"team": 1}}, "labels.team", "a text"),
        ({"kms_key": "key"}, "kms_key", "projects/…/locations/…/keyRings/…/cryptoKeys/…"),
        (
            {"kms_key": KEY.replace("us-central1", "global")},
            "kms_key",
            "a key in us-central1, where the tuned model is",
        ),
        ({"service_account": "me@example.com"}, "service_account", "the address of a service account"),
    ],
)
def test_what_vertex_ai_would_refuse_or_ignore_is_refused_by_name(keys: dict[str, Any], key: str, allowed: str) -> None:
    found = problems(**keys)
    assert list(found) == [key]
    assert allowed in found[key].allowed
    assert found[key].line is not None


@pytest.mark.parametrize(
    ("model", "method", "allowed"),
    [
        (PRO, {"method": "preference"}, f"supervised for {PRO}; preference tuning takes {FLASH}, {LITE}"),
        (PRO, DISTILLED, f"supervised for {PRO}; distillation takes {FLASH}"),
        (LITE, DISTILLED, f"supervised, preference for {LITE}; distillation takes {FLASH}"),
    ],
)
def test_a_method_that_the_model_does_not_take_is_refused_with_the_models_that_take_it(
    model: str, method: dict[str, str], allowed: str
) -> None:
    assert problems(source_model=model, **method)["method"].allowed.endswith(allowed)


def test_a_tuned_models_base_says_which_methods_it_takes() -> None:
    assert tuning(source_model=TUNED, base_model=FLASH, method="preference").method == "preference"
    assert (
        "preference tuning takes" in problems(source_model=TUNED, base_model=PRO, method="preference")["method"].allowed
    )


def test_distillation_is_refused_outside_of_its_only_region() -> None:
    found = problems(location="europe-west4", **DISTILLED)
    assert found["method"].allowed == (
        "used in us-central1 only: distillation of gemini-2.5-flash is done there, and `location` is europe-west4"
    )


def test_a_key_of_another_region_is_refused_where_the_configuration_is_moved() -> None:
    assert "europe-west4" in problems(location="europe-west4", kms_key=KEY)["kms_key"].allowed


def test_several_mistakes_are_told_at_once() -> None:
    assert list(problems(beta=1.0, serve_checkpoint=9)) == ["beta", "serve_checkpoint"]


def test_texts_are_filled_in_and_nothing_else_is_taken_for_a_field() -> None:
    made = filled_in("{dataset} {candidate} %s", candidate="b-1", dataset="b")
    assert made == "b b-1 %s"


def test_the_schema_explains_every_key_of_tuning() -> None:
    properties = json_schema()["$defs"]["Tuning"]["properties"]
    assert set(properties) == set(Tuning.model_fields)
    assert all(one["description"] for one in properties.values())
    assert properties["method"]["enum"] == ["supervised", "preference", "distillation"]
