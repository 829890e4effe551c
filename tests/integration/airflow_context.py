"""As much of a running task's context as intake asks for; Airflow itself is met in tests/e2e/test_sweep_heals.py."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from made_up import DagRun, now

from genops_events.airflow.assets import TRAINING_ARRIVALS, TRAINING_DATA
from genops_events.intake.notifications import Notice
from genops_events.record.stages import Stage


@dataclass(frozen=True)
class CreatedRun:
    dag_id: str
    run_id: str
    state: str


@dataclass(frozen=True)
class Event:
    id: int
    timestamp: datetime
    extra: Any = None
    partition_key: str | None = None
    created_dagruns: tuple[CreatedRun, ...] = ()


class Inlet:
    """The events of one asset, as the SDK's accessor gives them."""

    def __init__(self, airflow: Airflow, asset: Asset) -> None:
        self._airflow = airflow
        self._asset = asset
        self._limit: int | None = None
        self._after: datetime | None = None

    def limit(self, limit: int) -> Inlet:
        self._limit = limit
        return self

    def after(self, after: str) -> Inlet:
        self._after = datetime.fromisoformat(after)
        return self

    def __iter__(self) -> Any:
        self._airflow.asked.append(self._asset.name)
        found = sorted(self._airflow.events.get(self._asset.name, []), key=lambda one: (one.timestamp, one.id))
        page = [one for one in found if self._after is None or one.timestamp >= self._after][: self._limit]
        if any(run.state == "queued" for one in page for run in one.created_dagruns):
            raise server_error()
        return iter(page)


def server_error() -> AirflowRuntimeError:
    """Return what the SDK raises for HTTP 500."""
    return AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500}))


@dataclass
class State:
    """A state store; values go through JSON, as Airflow's do."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        assert len(json.dumps(value)) < 64 * 1024
        self.values[key] = json.dumps(value)


@dataclass
class Partitions:
    emitted: list[str] = field(default_factory=list)

    def add_partitions(self, keys: list[str]) -> None:
        self.emitted += keys


@dataclass
class Known:
    """A Dag as `get_dag` gives it."""

    is_paused: bool


@dataclass
class Airflow:
    """What Airflow knows, for as many tasks as a test starts."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Assets whose events were asked for, call by call."""
    paused: set[str] = field(default_factory=set)
    task_states: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """By run id."""
    arrivals_state: State = field(default_factory=State)

    def arrive(self, notice: Notice | None, *, at: datetime | None = None, **more: Any) -> Event:
        """Store an event of training_arrivals."""
        extra = {"from_trigger": True, "payload": None if notice is None else notice.payload()}
        return self.happen(TRAINING_ARRIVALS, extra=extra, at=at, **more)

    def wake(self, asset: Asset, candidate: str, *runs: CreatedRun) -> Event:
        """Store an event with a partition key, and what it created."""
        return self.happen(asset, partition_key=candidate, created_dagruns=runs)

    def happen(self, asset: Asset, *, at: datetime | None = None, **more: Any) -> Event:
        known = self.events.setdefault(asset.name, [])
        event = Event(id=sum(map(len, self.events.values())) + 1, timestamp=at or now(), **more)
        known.append(event)
        return event

    def task(self, *, run_id: str = "intake-1", run_type: str = "asset_triggered") -> Task:
        """Return a task of genops_intake that has not been tried yet."""
        return Task(self, run_id, run_type)


@dataclass
class Task:
    """One task instance, with what it keeps between its tries."""

    airflow: Airflow
    run_id: str
    run_type: str
    try_number: int = 0
    own_state: State = field(default_factory=State)
    woken: Partitions = field(default_factory=Partitions)
    pushed: dict[str, Any] = field(default_factory=dict)

    def context(self) -> Any:
        """Return the context of the next try."""
        self.try_number += 1
        self.woken = Partitions()
        return {
            "dag_run": DagRun(self.run_id, None, self.run_type),
            "ti": self,
            "inlet_events": Inlets(self.airflow),
            "outlet_events": {TRAINING_DATA: self.woken},
            "asset_state_store": {TRAINING_ARRIVALS: self.airflow.arrivals_state},
            "task_state_store": self.own_state,
        }

    def get_dag(self, dag_id: str) -> Known:
        return Known(dag_id in self.airflow.paused)

    def get_dr_count(self, dag_id: str, *, states: list[str]) -> int:
        runs = [run for events in self.airflow.events.values() for event in events for run in event.created_dagruns]
        return sum(run.dag_id == dag_id and run.state in states for run in runs)

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {run_id: states for run_id, states in self.airflow.task_states.items() if run_id in run_ids}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = json.loads(json.dumps(value))


class Inlets:
    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow

    def __getitem__(self, asset: Asset) -> Inlet:
        return Inlet(self._airflow, asset)


def stage_run(stage: Stage, state: str, run_id: str = "stage-1") -> CreatedRun:
    return CreatedRun(f"genops_{stage}", run_id, state)


def long_ago() -> datetime:
    return now() - timedelta(hours=5)
