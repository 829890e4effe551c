"""Which quota a call uses, and what holds where datasets say different numbers of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_texts import MINIMAL
from typer.testing import CliRunner

from genops_events.cli.config import app
from genops_events.config import Config, parse_config
from genops_events.config.quotas import disagreements

MODEL = "gemini-2.5-flash"


def text(**datasets: dict[str, Any]) -> str:
    """Return a configuration with a dataset for each of these parts of `inference`."""
    settings = yaml.safe_load(MINIMAL)
    [one] = settings["datasets"].values()
    settings["datasets"] = {}
    for name, given in datasets.items():
        model = given.pop("source_model", MODEL)
        own = {"prefix": f"training/{name}/", "source_model": model, "inference": one["inference"] | given}
        settings["datasets"][name] = one | own
    return yaml.safe_dump(settings)


def config(**datasets: dict[str, Any]) -> Config:
    return parse_config(text(**datasets))


@pytest.mark.parametrize(
    "called",
    [
        MODEL,
        f"projects/p/locations/us-central1/publishers/google/models/{MODEL}",
        "projects/p/locations/us-central1/endpoints/77",
    ],
)
def test_a_model_and_what_is_tuned_from_it_use_one_quota(called: str) -> None:
    quota = config(one={}).quota_of(called, MODEL)
    assert (quota.location, quota.model, quota.requests_per_minute) == ("us-central1", MODEL, 300)


def test_versions_of_a_model_use_one_quota() -> None:
    assert config(one={}).quota_of(MODEL, f"{MODEL}-001") == config(one={}).quota_of(MODEL, MODEL)


def test_an_endpoint_of_which_nobody_knows_the_base_model_counts_alone() -> None:
    quota = config(one={}).quota_of("projects/p/locations/europe-west4/endpoints/77", "")
    assert (quota.location, quota.model) == ("europe-west4", "77")


def test_a_datasets_number_holds_for_all_that_use_its_model_where_it_is_served() -> None:
    found = config(one={"requests_per_minute": 1200, "tokens_per_minute": 90_000}, two={})
    quota = found.quota_of(MODEL, MODEL)
    assert (quota.requests_per_minute, quota.tokens_per_minute) == (1200, 90_000)
    elsewhere = found.quota_of("projects/p/locations/europe-west4/endpoints/1", MODEL)
    assert (elsewhere.requests_per_minute, elsewhere.tokens_per_minute) == (300, None)
    assert found.quota_of("gemini-2.5-pro", "gemini-2.5-pro").requests_per_minute == 300
    assert not list(disagreements(found)), "a dataset that says nothing disagrees with nobody"


def test_of_different_numbers_the_lowest_holds_and_it_is_said() -> None:
    found = config(one={"requests_per_minute": 1200}, two={"requests_per_minute": 600}, three={})
    assert found.quota_of(MODEL, MODEL).requests_per_minute == 600
    [text] = disagreements(found)
    assert f"inference.requests_per_minute of {MODEL} in us-central1: one says 1,200, two says 600." in text
    assert text.endswith("600 holds for all")


def test_config_check_says_so(tmp_path: Path) -> None:
    file = tmp_path / "genops.yaml"
    file.write_text(text(one={"requests_per_minute": 1200}, two={"requests_per_minute": 600}), encoding="utf-8")
    found = CliRunner().invoke(app, ["check", str(file), "--json"])
    assert found.exit_code == 0
    assert [one for one in json.loads(found.stdout)["warnings"] if "600 holds for all" in one]


def test_other_models_are_other_quotas() -> None:
    found = config(
        one={"requests_per_minute": 1200}, two={"requests_per_minute": 600, "source_model": "gemini-2.5-flash-lite"}
    )
    assert not list(disagreements(found))
