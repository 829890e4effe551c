"""Every command that names a model says so when it retires, and what replaces it; none refuses for that."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from asked import champion_of
from cloud import DATASET, EXAMPLE
from made_up import DagRun
from typer.testing import CliRunner
from usual import MODEL

from genops_events.airflow.generate_content import GenerateContent
from genops_events.cli import app
from genops_events.config import Config, load_config
from genops_events.gcp.record_store import RecordStore

TRAIN = str(EXAMPLE.parent / "banking77" / "train.jsonl")
NEXT_MODEL = "gemini-9-flash"


@pytest.fixture
def ending(config: Config, tmp_path: Path) -> str:
    """The model of the dataset retires tomorrow; returns what is to be said of it."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    life = f'[models."{MODEL}".life]\nretires = {tomorrow}\nreplaced_by = ["{NEXT_MODEL}"]\n'
    (tmp_path / "ends.toml").write_text(f'as_of = 2026-11-30\nsource = "a test"\n{life}', encoding="utf-8")
    file = tmp_path / "genops.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8")) | {"models": "ends.toml", "ask": {"budget_usd": 1}}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert load_config().catalogue.named(MODEL).life.retires == tomorrow
    return f"warning: {MODEL} retires on {tomorrow}, in 1 day;"


def said(*words: str, expect: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == expect, done.output
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "named_by"),
    [
        (["config", "check"], f"{DATASET}: source_model"),
        (["provision"], f"{DATASET}: source_model"),
        (["provision", "--apply"], f"{DATASET}: source_model"),
        (["upload", TRAIN, "--dataset", DATASET], f"{DATASET}: source_model"),
        (["upload", TRAIN, "--dataset", DATASET, "--json"], f"{DATASET}: source_model"),
        (["estimate", TRAIN, "--dataset", DATASET], f"{DATASET}: source_model"),
        (["validate", TRAIN, "--dataset", DATASET], f"{DATASET}: source_model"),
        (["ask", "where is my card", "--model", MODEL], "--model"),
        (["ask", "where is my card", "--model", MODEL, "--count-only"], "--model"),
    ],
    ids=" ".join,
)
def test_a_command_that_names_a_model_which_ends_says_so_and_goes_on(
    ending: str, words: list[str], named_by: str
) -> None:
    told = said(*words)
    assert told.count(ending) == 1
    assert f"Google names {NEXT_MODEL} in its place. ({named_by}" in told


def test_asking_a_champion_names_the_model_that_it_was_tuned_from(
    ending: str, config: Config, store: RecordStore
) -> None:
    champion_of(config, store)
    assert ending in said("ask", "where is my card", "--dataset", DATASET)


def test_a_comparison_names_the_models_of_the_dataset_and_of_the_contestants(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_AIRFLOW_URL", "http://127.0.0.1:9")
    told = said("compare", "--contestant", MODEL, expect=1)  # nobody answers there; it was said before
    assert f"({DATASET}: source_model, --contestant)" in told


def test_an_estimate_has_the_warning_in_its_json_too(ending: str) -> None:
    done = CliRunner().invoke(app, ["estimate", TRAIN, "--dataset", DATASET, "--json"])
    (warning,) = json.loads(done.stdout)["warnings"]
    assert f"warning: {warning}".startswith(ending)


def test_the_form_that_asks_a_model_says_so_in_its_log(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fields = {"prompt": "where", "model": MODEL}
        GenerateContent(task_id="ask").execute({"dag_run": DagRun("run-1", None), "params": fields})
    assert ending.removeprefix("warning: ") in caplog.text
