"""What the tests of inference online share: a candidate whose model repeats what it is asked, its prompts, its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud import DATASET
from made_up import arrived, context, now, tuned

from genops_events.airflow.inference import AnswerPrompts
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Posting, month_of
from genops_events.record import inference as places
from genops_events.record.paths import answers_path

MODEL = "gemini-2.5-flash"
Settings = Callable[..., None]


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Settings:
    """Change `inference` in genops.yaml, and what stands beside it in the dataset."""

    def change(*, dataset: dict[str, Any] | None = None, **inference: Any) -> None:
        file = tmp_path / "genops.yaml"
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        found["datasets"][DATASET]["inference"] |= inference
        found["datasets"][DATASET] |= dataset or {}
        file.write_text(yaml.safe_dump(found), encoding="utf-8")

    change(mode="online", dataset={"system_instruction": None})
    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose model repeats what it is asked."""
    made = arrived(config, store).candidate
    endpoint = f"projects/{config.project}/locations/{config.location}/publishers/google/models/{MODEL}"
    tuned(store, made, endpoint=endpoint)
    return made


def prompts(store: RecordStore, *rows: Any) -> None:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string(b"\n".join(lines))


def answer(candidate: str, run_id: str = "run-1") -> dict[str, Any]:
    return AnswerPrompts(task_id="answer").execute(context(candidate, run_id=run_id))


def lines(store: RecordStore, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.bucket.blob(name).download_as_bytes().splitlines()]


def answers(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    return lines(store, answers_path(candidate))


def failures(store: RecordStore, candidate: str) -> list[dict[str, Any]]:
    return lines(store, places.failures_path(candidate))


def posting(store: RecordStore, candidate: str) -> Posting:
    entry = ledger_store.account(store, month_of(now()), candidate)
    assert entry is not None
    return entry.purposes["inference"]
