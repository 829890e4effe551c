"""Evaluations of made-up rows by a model that repeats what it is asked, for tests of the stage, its money and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud import DATASET
from made_up import arrived, context, now, tuned

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.config import Config, load_config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import rows_path
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion

MODEL = "gemini-2.5-flash"
FILE = "evaluation/own.jsonl"
Told = dict[str, Any]


@pytest.fixture
def endpoint(config: Config) -> str:
    """A model that repeats what it is asked: an answer is right where the prompt is the reference."""
    return f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"


def write(store: RecordStore, name: str, *lines: dict[str, Any]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    store.bucket.blob(name).upload_from_string(text)


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Callable[..., None]:
    """Change the dataset's part `evaluation`."""

    def change(**evaluation: Any) -> None:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        data["datasets"][DATASET]["evaluation"] = {"file": FILE, **evaluation}
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        load_config()

    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore, endpoint: str) -> str:
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=endpoint)
    return made


def evaluated(candidate: str) -> tuple[EvaluateModel, Told]:
    task = EvaluateModel(task_id="evaluate")
    return task, task.execute(context(candidate))


def rows_of(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    text = store.bucket.blob(rows_path(candidate)).download_as_text()
    return [json.loads(line) for line in text.splitlines()]


def pairs(right: int, wrong: int = 0) -> list[dict[str, Any]]:
    return [
        *({"prompt": f"the right word {number}", "reference": f"the right word {number}"} for number in range(right)),
        *({"prompt": f"quite another {number}", "reference": "the wanted text"} for number in range(wrong)),
    ]


def promoted(config: Config, store: RecordStore, endpoint: str) -> str:
    """Evaluate a candidate and make it champion, as promotion would."""
    made = arrived(config, store).candidate
    tuned(store, made, endpoint=endpoint)
    _, told = evaluated(made)
    champion = Champion(
        candidate=made,
        written_at=now(),
        dataset=DATASET,
        model="",
        endpoint=endpoint,
        metric="exact_match",
        score=told["scores"]["exact_match"],
        scores=told["scores"],
        promoted_at=datetime.now(UTC),
    )
    assert store.create(champion_path(DATASET), champion)
    return made


def answers_text(store: RecordStore, candidate: str) -> str:
    return str(store.bucket.blob(f"genops/candidates/{candidate}/answers/evaluation.jsonl").download_as_text())


def die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
