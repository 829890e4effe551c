"""Candidates over a limit: held for money, approved, and gone on."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from cloud import DATASET, PREFIX
from made_up import context, now
from typer.testing import CliRunner

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.cascade import holds
from genops_events.cli import app
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.notifications import Notice, arrival
from genops_events.intake.open_candidates import mint
from genops_events.record.holds import Hold

EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}


@pytest.fixture
def budget(config: Config, tmp_path: Path) -> Any:
    """Change the dataset's budget in genops.yaml."""

    def change(**keys: Any) -> None:
        file = tmp_path / "genops.yaml"
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings["datasets"][DATASET]["budget"] |= keys
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    return change


@pytest.fixture
def candidate(config: Config, store: RecordStore) -> str:
    """A candidate whose file is in the bucket, as intake leaves it."""
    blob = store.bucket.blob(f"{PREFIX}{uuid.uuid4().hex}.jsonl")
    blob.upload_from_string("\n".join([json.dumps(EXAMPLE)] * 40))
    notice = Notice(bucket=config.bucket, object=blob.name, generation=int(blob.generation))
    made = arrival(notice, dataset=DATASET, found_by="notification", now=now())
    mint(store, [made])
    return made.candidate


def tune(candidate: str, run_id: str = "run-1") -> str | None:
    """Do the tuning Dag's two tasks; return the job that it waits for, or None where it is skipped."""
    here = context(candidate, run_id=run_id)
    try:
        ValidateTrainingData(task_id="validate").execute(here)
        TuneModel(task_id="tune").execute(here)
    except TaskDeferred as deferred:
        return str((deferred.kwargs or {})["job"])
    except AirflowSkipException:
        return None
    raise AssertionError("tuning neither waits nor is skipped")


def approve(candidate: str, *words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, ["approve", candidate, "--budget", "--json", *words])
    return done.exit_code, json.loads(done.stdout)


def the_hold(store: RecordStore, candidate: str) -> Hold:
    (found,) = holds.held(store, candidate)
    return found


def prompts(store: RecordStore, *texts: str) -> None:
    lines = "\n".join(json.dumps({"prompt": text}) for text in texts)
    store.bucket.blob(f"prompts/{DATASET}.jsonl").upload_from_string(lines)


def check(candidate: str, run_id: str = "run-1") -> dict[str, Any] | None:
    try:
        return CheckBudget(task_id="check").execute(context(candidate, run_id=run_id))
    except AirflowSkipException:
        return None
