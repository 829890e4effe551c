"""Ask Airflow's REST API what ran, when, and how it ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_SECONDS = 60.0
PAGE = 100
"""Airflow gives no more at once, whatever is asked for."""

_ENDS = ("success", "skipped", "deferred", "failed", "up_for_retry")


@dataclass(frozen=True, slots=True)
class DagRun:
    """One Dag run that has ended."""

    dag_id: str
    run_id: str
    key: str | None
    state: str
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class RunStart:
    """One Dag run that has begun, ended or not."""

    run_id: str
    key: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Execution:
    """A worker's time with a task: a task that deferred has two, a retried one more."""

    dag_id: str
    run_id: str
    task_id: str
    started_at: datetime
    ended_at: datetime
    end: str


class AirflowRest:
    """A client of the stack's Airflow, as the user that `genops env` tells; use as a context manager.

    Args:
        url: where its API server is.
    """

    def __init__(self, url: str) -> None:
        # A proxy of the user's shell has no business on loopback.
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        user = {name: os.environ[f"GENOPS_AIRFLOW_{name.upper()}"] for name in ("username", "password")}
        token = self._http.post("/auth/token", json=user).raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def dag_count(self, prefix: str) -> int:
        """Return how many Dags there are whose ids begin with `prefix`."""
        return self._count("/api/v2/dags", dag_id_prefix_pattern=prefix)

    def asset_id(self, name: str) -> int | None:
        """Return Airflow's number of an asset, or None before it knows it."""
        assets = self._get("/api/v2/assets", name_pattern=name)["assets"]
        return next((int(one["id"]) for one in assets if one["name"] == name), None)

    def post_event(self, asset_id: int, extra: dict[str, Any]) -> None:
        """Register an event of an asset."""
        self._http.post("/api/v2/assets/events", json={"asset_id": asset_id, "extra": extra}).raise_for_status()

    def run_count(self, prefix: str, *states: str, since: datetime | None = None) -> int:
        """Return how many runs of the Dags with this prefix are in one of `states`."""
        after = {} if since is None else {"start_date_gte": since.isoformat()}
        return self._count("/api/v2/dags/~/dagRuns", dag_id_prefix_pattern=prefix, state=list(states), **after)

    def runs(self, prefix: str, since: datetime) -> list[DagRun]:
        """Return the ended runs of the Dags with this prefix that began after `since`."""
        found = self._pages(
            *("/api/v2/dags/~/dagRuns", "dag_runs"),
            dag_id_prefix_pattern=prefix,
            start_date_gte=since.isoformat(),
            order_by="id",
        )
        return [
            DagRun(one["dag_id"], one["dag_run_id"], one["partition_key"], one["state"], _at(one["end_date"]))
            for one in found
            if one["end_date"]
        ]

    def run_starts(self, dag_id: str, since: datetime) -> list[RunStart]:
        """Return the runs of one Dag that began after `since`."""
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        found = self._pages(path, "dag_runs", start_date_gte=since.isoformat(), order_by="id")
        return [RunStart(one["dag_run_id"], one["partition_key"], _at(one["start_date"])) for one in found]

    def events_consumed(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the extras of the asset events that a run sees as its triggering ones."""
        events = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents")["asset_events"]
        return [one["extra"] for one in events]

    def events(self, asset_id: int, since: datetime) -> list[dict[str, Any]]:
        """Return the extras of the events of an asset that were stored after `since`."""
        found = self._pages(
            *("/api/v2/assets/events", "asset_events"),
            asset_id=asset_id,
            timestamp_gte=since.isoformat(),
            order_by="timestamp",
        )
        return [one["extra"] for one in found]

    def event_count(self, asset_id: int, since: datetime) -> int:
        """Return how many events of an asset were stored after `since`."""
        return self._count("/api/v2/assets/events", asset_id=asset_id, timestamp_gte=since.isoformat())

    def executions(self, prefix: str, since: datetime) -> list[Execution]:
        """Return the ended executions of the Dags with this prefix that began after `since`, in order of their ends.

        From the audit log: a task instance itself only keeps its first start and its last end.
        """
        begun: dict[tuple[str, str, str], datetime] = {}
        found: list[Execution] = []
        for one in self._pages(
            *("/api/v2/eventLogs", "event_logs"),
            dag_id_prefix_pattern=prefix,
            after=since.isoformat(),
            included_events=["running", *_ENDS],
            order_by="event_log_id",
        ):
            task = (one["dag_id"], one["run_id"], one["task_id"])
            if one["event"] == "running":
                begun[task] = _at(one["when"])
            elif task in begun:
                found.append(Execution(*task, begun.pop(task), _at(one["when"]), one["event"]))
        return found

    def start_run(self, dag_id: str, run_id: str) -> None:
        """Start a Dag run by hand."""
        body = {"dag_run_id": run_id, "logical_date": None}
        self._http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status()

    def add_connection(self, connection_id: str, kind: str) -> None:
        """Store a connection that says nothing but its type."""
        body = {"connection_id": connection_id, "conn_type": kind}
        self._http.post("/api/v2/connections", json=body).raise_for_status()

    def mismatches(self, prefix: str, since: datetime) -> int:
        """Return how often the scheduler took a task of these Dags for killed, because its executor told too late."""
        return self._count(
            "/api/v2/eventLogs",
            dag_id_prefix_pattern=prefix,
            after=since.isoformat(),
            included_events=["state mismatch"],
        )

    def _get(self, path: str, **query: Any) -> Any:
        return self._http.get(path, params=query).raise_for_status().json()

    def _count(self, path: str, **query: Any) -> int:
        return int(self._get(path, limit=1, **query)["total_entries"])

    def _pages(self, path: str, what: str, **query: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while page := self._get(path, limit=PAGE, offset=offset, **query)[what]:
            yield from page
            offset += len(page)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
