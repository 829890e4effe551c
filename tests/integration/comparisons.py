"""Comparisons of made-up rows by models that repeat what they are asked, for tests of the Dag's tasks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException
from cloud import DATASET
from evaluations import FILE, MODEL
from made_up import context

from genops_events.airflow.comparison import ConcludeComparison, PlanComparison, RunContestant, comparing_of
from genops_events.config import Config, load_config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Posting, month_of
from genops_events.record.comparison import ComparisonSummary, ContestantResult
from genops_events.record.comparison_plan import ContestantDocument, result_path, rows_path, summary_path

GONE = "projects/genops-local/locations/us-central1/endpoints/404"
THEIRS = f"theirs: {{model: {GONE}, base_model: {MODEL}}}"
WARM = f"warm: {{model: {MODEL}, generation_config: {{temperature: 1.0}}}}"


@pytest.fixture
def compared(config: Config, tmp_path: Path) -> Callable[..., Config]:
    """Change the dataset: its parts `evaluation`, `comparison` and `budget`."""

    def change(*, evaluation: dict[str, Any] | None = None, budget: dict[str, Any] | None = None, **own: Any) -> Config:
        file = tmp_path / "genops.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        entry = data["datasets"][DATASET]
        entry["evaluation"] = {"file": FILE, "metrics": ["exact_match"], **(evaluation or {})}
        entry["budget"] |= budget or {}
        entry["comparison"] = own
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        return load_config()

    return change


def asked(*contestants: str, run_id: str = "manual-1", promoted: str | None = None, **more: Any) -> Any:
    """Return a task's context in a Dag run that somebody has started, or a promotion."""
    params = {} if promoted else {"dataset": DATASET, "contestants": list(contestants), **more}
    return context(promoted, run_id=run_id, params=params)


def plan(run: Any) -> list[str]:
    return PlanComparison(task_id="plan").execute(run)


def contest(run: Any, name: str) -> dict[str, Any]:
    return RunContestant(task_id="contest", contestant=name).execute(run)


def conclude(run: Any) -> dict[str, Any]:
    return ConcludeComparison(task_id="report").execute(run)


def whole(run: Any) -> ComparisonSummary:
    """Do all that the Dag run does, whoever fails, and return what is recorded."""
    for name in plan(run):
        with suppress(AirflowFailException):
            contest(run, name)
    with suppress(AirflowFailException):
        conclude(run)
    found = recorded(run)
    assert found is not None
    return found


def recorded(run: Any) -> ComparisonSummary | None:
    comparing = comparing_of(run)
    return comparing.store.read(summary_path(comparing.id), ComparisonSummary)


def result(run: Any, name: str) -> ContestantResult:
    comparing = comparing_of(run)
    found = comparing.store.read(result_path(comparing.id, name), ContestantDocument)
    assert found is not None
    return found.result


def one(comparison: ComparisonSummary, name: str) -> ContestantResult:
    found = comparison.contestant(name)
    assert found is not None
    return found


def rows_text(store: RecordStore, comparison: ComparisonSummary) -> str:
    return str(store.bucket.blob(rows_path(comparison.id)).download_as_text())


def postings(store: RecordStore, comparison: ComparisonSummary) -> dict[str, Posting]:
    """Return what the ledger says, by contestant."""
    entries = ledger_store.all_accounts(store, month_of(comparison.started_at))
    return {
        name.removeprefix(f"{comparison.id}/"): entry.purposes["comparison"]
        for name, entry in entries.items()
        if name.startswith(f"{comparison.id}/")
    }
