"""Arrivals and verdicts as the stages would have written them, for tests that begin in the middle of the cascade."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from cloud import DATASET, PREFIX

from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.notifications import Notice, arrival
from genops_events.record.holds import Intent
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path, intent_path, verdict_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import VERDICTS, Verdict


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class DagRun:
    """As much of a Dag run as a stage asks for."""

    run_id: str
    partition_key: str | None
    run_type: str = "asset_triggered"
    run_after: datetime = datetime(2026, 11, 23, tzinfo=UTC)


class Task:
    """As much of a task instance as a stage asks for."""

    def __init__(self, try_number: int = 1) -> None:
        self.try_number = try_number

    def xcom_push(self, *, key: str, value: Any) -> None:
        """Take what the task leaves in Airflow."""
        setattr(self, key, value)


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task's state store: Airflow takes a word from the try that is current alone."""

    is_current: bool = True

    def set(self, key: str, value: Any) -> None:
        """Take a word, or refuse it as the execution API does to a try that is superseded."""
        if not self.is_current:
            detail = {"status_code": 404, "message": "Server returned error"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


def context(
    candidate: str | None, *, run_id: str = "run-1", try_number: int = 1, is_current: bool = True, **more: Any
) -> Any:
    """Return a task's context in a Dag run of `candidate`."""
    return {
        "dag_run": DagRun(run_id, candidate),
        "ti": Task(try_number),
        "task_state_store": TaskState(is_current),
        **more,
    }


def arrived(config: Config, store: RecordStore, *, name: str | None = None, generation: int = 1) -> Arrival:
    """Return the arrival of an object, recorded; nobody looks whether the object is there."""
    notice = Notice(
        bucket=config.bucket,
        object=name or f"{PREFIX}{uuid.uuid4().hex}.jsonl",
        generation=generation,
    )
    made = arrival(notice, dataset=DATASET, found_by="notification", now=now())
    assert store.create(arrival_path(made.candidate), made)
    return made


def verdict(stage: Stage, outcome: Outcome, candidate: str, **figures: Any) -> Verdict:
    """Return a verdict that nobody has recorded."""
    given = {
        "candidate": candidate,
        "written_at": now(),
        "dataset": DATASET,
        "outcome": outcome,
        "reason": f"{stage} says so",
        "started_at": now() - timedelta(seconds=3),
        "ended_at": now(),
    }
    return VERDICTS[stage].model_validate(given | figures)


def ended(store: RecordStore, stage: Stage, outcome: Outcome, candidate: str, **figures: Any) -> Verdict:
    """Return a verdict, recorded."""
    made = verdict(stage, outcome, candidate, **figures)
    assert store.create(verdict_path(candidate, stage), made)
    return made


def taken_on(store: RecordStore, stage: Stage, candidate: str, *, run_id: str = "run-1") -> Intent:
    """Return the intent of a Dag run, recorded."""
    made = Intent(candidate=candidate, written_at=now(), stage=stage, run_id=run_id, started_at=now())
    assert store.create(intent_path(candidate, stage), made)
    return made


def tuned(store: RecordStore, candidate: str, **figures: Any) -> Verdict:
    """Return tuning's verdict, recorded, with a model that Vertex AI does not know unless `figures` name another."""
    where = "projects/genops-local/locations/us-central1"
    given = {"model": f"{where}/models/1@1", "endpoint": f"{where}/endpoints/1"}
    return ended(store, Stage.TUNING, Outcome.SUCCEEDED, candidate, **(given | figures))
