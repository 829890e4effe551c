"""Look whether Airflow runs the cascade: through its REST, and without importing it into this process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from genops_events.airflow_rest.client import AirflowRefused, AirflowRest, AirflowUnavailable
from genops_events.airflow_rest.pool import TUNING_JOBS_POOL, pool_body
from genops_events.doctor.findings import Check, Finding, failed, ok
from genops_events.doctor.remedies import Component, Remedies
from genops_events.record.stages import Stage

INTAKE = "genops_intake"
DAGS = (
    INTAKE,
    *(f"genops_{stage}" for stage in Stage),
    "genops_comparison",
    "genops_tables",
    "genops_generate_content",
)
"""The Dags of the cascade, the one that compares, the one that writes the tables, and the form."""
ARRIVALS = "training_arrivals"
"""The asset that the arrival trigger watches for."""
TRIGGERS = ("triggers.gcs_arrival", "triggers.tuning_job", "triggers.batch_job")
"""Modules that Airflow's database names, so that the triggerer imports them by these names."""

IMPORT_SECONDS = 25.0
_OURS = ("genops_events", "triggers")


class AirflowChecks:
    """The checks on Airflow's side.

    Args:
        rest: None where GENOPS_AIRFLOW_URL is not set.
        remedies: names the commands.
    """

    def __init__(self, rest: AirflowRest | None, remedies: Remedies) -> None:
        self._rest = rest
        self._remedies = remedies
        self._health: dict[str, Any] = {}

    def all(self) -> Iterator[Check]:
        """Yield the checks: what runs, then what it runs."""
        yield Check("triggers importable", self.importable)
        yield Check("Airflow", self._explained(self.answers))
        yield Check("scheduler", lambda: self.alive("scheduler"), needs=("Airflow",))
        yield Check("Dag processor", lambda: self.alive("dag-processor"), needs=("Airflow",))
        yield Check("triggerer", lambda: self.alive("triggerer"), needs=("Airflow",))
        yield Check("Dags parsed", self._explained(self.parsed), needs=("Airflow",))
        yield Check("Dags not paused", self._explained(self.not_paused), needs=("Dags parsed",))
        needs = ("Dags parsed", "Dags not paused", "triggerer")
        yield Check("arrival watcher", self._explained(self.watched), needs=needs)
        yield Check("places for tuning jobs", self._explained(self.places), needs=("Airflow",))

    def importable(self) -> Finding:
        """Import the triggers as a triggerer of this installation would, in a process of its own."""
        with tempfile.TemporaryDirectory(prefix="genops-doctor-") as home:
            # Airflow writes its configuration into its home as soon as it is imported.
            environment = {**os.environ, "AIRFLOW_HOME": home, "PYTHONWARNINGS": "ignore"}
            try:
                # -P: the folder that the user happens to stand in does not count.
                done = subprocess.run(
                    [sys.executable, "-P", "-c", f"import {', '.join(TRIGGERS)}"],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=IMPORT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return failed(
                    f"Importing {' and '.join(TRIGGERS)} takes longer than {IMPORT_SECONDS:.0f} s.",
                    "The machine is busy, or something that is imported waits for a network.",
                    "genops doctor",
                )
        if done.returncode == 0:
            return ok(f"{' and '.join(TRIGGERS)}, by {sys.executable}")
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return failed(
            f"{' and '.join(TRIGGERS)} cannot be imported by {sys.executable}: {last}",
            "A triggerer of this installation stops, or never yields an arrival.",
            *self._remedies.broken_installation(),
        )

    def answers(self) -> Finding:
        """Look whether the API server answers, and reaches its database."""
        self._health = self._airflow().public("/api/v2/monitor/health")
        status = self._health["metadatabase"]["status"]
        if status == "healthy":
            return ok(f"answers at {self._airflow().url}")
        return failed(
            f"Airflow's database is {status}.",
            "The API server does not reach it, so nothing is scheduled.",
            *self._remedies.airflow_database(),
        )

    def alive(self, component: Component) -> Finding:
        """Look whether at least one of a component's processes has a fresh heartbeat."""
        key = component.replace("-", "_")
        health = self._health.get(key) or {}
        if health.get("status") == "healthy":
            return ok("has a fresh heartbeat")
        beat = health.get(f"latest_{key}_heartbeat")
        consequence = {
            "scheduler": "No Dag run is made and no task is started.",
            "dag-processor": "New and changed Dags are not seen.",
            "triggerer": "No arrival is taken from Pub/Sub, and no job is waited for.",
        }[component]
        return failed(
            f"No {component} has a fresh heartbeat; the last one came at {beat}." if beat else f"No {component} runs.",
            f"It was stopped, hangs, or does not reach the database. {consequence}",
            *self._remedies.airflow_job(component),
        )

    def parsed(self) -> Finding:
        """Look whether all Dags are there, as they are in their files."""
        found = self._dags()
        errors = self._airflow().get("/api/v2/importErrors", {"limit": 100})["import_errors"]
        ours = [one for one in errors if _is_ours(one)]
        missing = [dag for dag in DAGS if dag not in found]
        stale = [dag for dag in DAGS if dag in found and found[dag]["has_import_errors"]]
        if not missing and not stale and not ours:
            return ok(f"all {len(DAGS)}: {', '.join(DAGS)}")
        said = [f"Airflow has no Dag {', '.join(missing)}."] if missing else []
        said += [f"{', '.join(stale)} cannot be imported any more: an earlier version runs."] if stale else []
        causes = [f"{one['filename']}: {_last_line(one['stack_trace'])}" for one in ours]
        return failed(
            " ".join(said) or f"{len(ours)} Dag files cannot be imported.",
            "; ".join(causes) or "Their files are not in the Dag folder, or not parsed yet.",
            *self._remedies.missing_dags(),
        )

    def not_paused(self) -> Finding:
        """Look whether all Dags run."""
        paused = [dag for dag, found in self._dags().items() if dag in DAGS and found["is_paused"]]
        if not paused:
            return ok("all of them run")
        text = "The Dag was paused, or new Dags begin paused here (dags_are_paused_at_creation). "
        if INTAKE in paused:
            text += "While intake is paused, arrivals are not even taken from Pub/Sub."
        else:
            text += "Airflow drops what wakes a paused Dag; the sweep wakes it again afterwards."
        return failed(
            f"{', '.join(paused)} {'is' if len(paused) == 1 else 'are'} paused.",
            text,
            *(command for dag in paused for command in self._remedies.paused_dag(dag)),
        )

    def watched(self) -> Finding:
        """Look whether Airflow has the watcher of the arrivals: whether one triggerer runs it, its REST does not say."""
        assets = self._airflow().get("/api/v2/assets", {"name_pattern": ARRIVALS, "limit": 100})["assets"]
        watchers = [one for asset in assets if asset["name"] == ARRIVALS for one in asset["watchers"]]
        if watchers:
            return ok(f"{watchers[0]['name']} is trigger {watchers[0]['trigger_id']}")
        return failed(
            f"The asset {ARRIVALS} has no watcher.",
            f"{INTAKE} was paused or broken when its file was parsed last: no triggerer pulls the subscription.",
            *self._remedies.missing_watcher(),
        )

    def places(self) -> Finding:
        """Look whether Airflow's pool lets as many tuning jobs run at a time as genops.yaml says."""
        wanted = pool_body(self._remedies.config.tuning_jobs_at_once)
        mending = self._remedies.pool(wanted["name"], wanted["description"], slots=wanted["slots"])
        page = self._airflow().get("/api/v2/pools", {"pool_name_pattern": TUNING_JOBS_POOL, "limit": 100})
        found = next((one for one in page["pools"] if one["name"] == TUNING_JOBS_POOL), None)
        if found is None:
            return failed(
                f"Airflow has no pool {TUNING_JOBS_POOL}.",
                "The pool was never made, or it was deleted. Airflow starts no task of a pool that is not there: every candidate "
                "waits before its tuning.",
                *mending,
            )
        faults = []
        if not found["include_deferred"]:
            faults.append("does not count deferred tasks, and a tuning task is deferred while its job runs")
        if found["slots"] != wanted["slots"]:
            slots = found["slots"]
            has = "any number of slots" if slots < 0 else f"{slots} slot{'' if slots == 1 else 's'}"
            faults.append(f"has {has}, and `tuning_jobs_at_once` is {wanted['slots']}")
        if faults:
            return failed(
                f"The pool {TUNING_JOBS_POOL} {'; it '.join(faults)}.",
                "With too many, Vertex AI refuses jobs, and each waits five minutes for its next try; with too few, "
                "candidates wait though there is room.",
                *mending,
            )
        return ok(f"{found['slots']} at a time: {found['occupied_slots']} taken, {found['scheduled_slots']} waited for")

    def _airflow(self) -> AirflowRest:
        assert self._rest is not None, "`Airflow` is needed by every check that asks it"
        return self._rest

    def _dags(self) -> dict[str, dict[str, Any]]:
        page = self._airflow().get("/api/v2/dags", {"dag_id_pattern": "genops_", "limit": 100})
        return {one["dag_id"]: one for one in page["dags"]}

    def _explained(self, look: Callable[[], Finding]) -> Callable[[], Finding]:
        def explained() -> Finding:
            if self._rest is None:
                return failed(
                    "GENOPS_AIRFLOW_URL is not set, so genops does not know where Airflow is.",
                    "Without it, nothing can be said about the scheduler, the triggerer and the Dags.",
                    *self._remedies.airflow_url(),
                )
            try:
                return look()
            except AirflowUnavailable as error:
                text = "The API server does not run, still starts, hangs, or is elsewhere than GENOPS_AIRFLOW_URL says."
                return failed(error.message, text, *self._remedies.airflow_down())
            except AirflowRefused as error:
                text = (
                    "Set GENOPS_AIRFLOW_TOKEN, or GENOPS_AIRFLOW_USERNAME and GENOPS_AIRFLOW_PASSWORD, of a user who may "
                    "see Dags, import errors, assets and pools."
                )
                return failed(error.message, text, *self._remedies.airflow_access())

        return explained


def _is_ours(error: dict[str, Any]) -> bool:
    name = PurePath(str(error["filename"])).name
    return name.startswith("genops_") or any(one in str(error["stack_trace"]) for one in _OURS)


def _last_line(trace: str) -> str:
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
