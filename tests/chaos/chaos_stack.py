"""A stack to do harm to: quick sweeps, datasets for many bursts, a Dags folder of its own, and eyes on all of it."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from running_stack import ROOT, Stack, Subscriber, running_stack
from waiting import HANG_SECONDS, Patience, until

from genops_events.stack.credentials import secrets_of
from genops_events.stack.postgres import DATABASE, SUPERUSER
from genops_events.stack.stack import StackState, read_state
from genops_events.stack.state import ComponentState

DATASETS = 24
FURTHER = "chaos-further"
"""A dataset whose jobs tune the champion further."""
DATASETS_PER_BURST = 2
"""Each has a champion of its own: the more datasets, the more candidates are promoted and answer prompts."""
JOB_SECONDS = 5.0


class ChaosStack:
    """A running stack, its subscriber, and what can be seen of it from the outside.

    Args:
        stack: as the end-to-end tests have it.
        dags: the Dags folder that it uses: a copy that a test may change.
    """

    def __init__(self, stack: Stack, dags: Path) -> None:
        self.stack = stack
        self.dags = dags
        self.bucket = stack.bucket()
        self.completions = Subscriber(stack, "chaos-completions")
        self._fresh = iter(range(DATASETS))
        self._login: dict[str, str] | None = None

    def close(self) -> None:
        """Stop listening."""
        self.completions.close()

    def datasets(self) -> list[str]:
        """Return datasets that no burst has used yet."""
        return [dataset(next(self._fresh)) for _ in range(DATASETS_PER_BURST)]

    # ── components ───────────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> StackState:
        """Return what `genops status` tells."""
        return read_state(self.stack.home)

    def component(self, name: str) -> ComponentState:
        """Return one component as it is now."""
        found = self.state().component(name)
        assert found is not None, name
        return found

    def until_well(self) -> None:
        """Return when every component runs."""
        until(lambda: self.state().state == "running", what=f"all components run: {self.ailing()}")

    def ailing(self) -> list[str]:
        """Return what is not well."""
        return [
            f"{one.name} {one.state} {one.reason or ''}" for one in self.state().components if one.state != "running"
        ]

    def set_faults(self, name: str, **faults: Any) -> None:
        """Put faults in force at a stand-in; without any, switch all off."""
        admin = self.component(name).admin_url
        if faults:
            httpx.put(f"{admin}/faults", json=faults, timeout=HANG_SECONDS).raise_for_status()
        else:
            httpx.delete(f"{admin}/faults", timeout=HANG_SECONDS).raise_for_status()

    def no_faults(self) -> None:
        """Switch all faults off; tuning jobs take their seconds again."""
        for name in ("storage", "pubsub"):
            self.set_faults(name)
        self.set_faults("vertex", job_seconds=JOB_SECONDS)

    def jobs(self) -> list[dict[str, Any]]:
        """Return all tuning jobs that Vertex AI's stand-in was ever asked for."""
        jobs = httpx.get(f"{self.component('vertex').admin_url}/jobs", timeout=HANG_SECONDS).json()
        return list(jobs["jobs"] if isinstance(jobs, dict) else jobs)

    def resume_jobs(self) -> None:
        """Let paused tuning jobs go on."""
        httpx.post(f"{self.component('vertex').admin_url}/jobs/resume", timeout=HANG_SECONDS).raise_for_status()

    # ── Airflow ──────────────────────────────────────────────────────────────────────────────────────────────────

    def airflow(self, method: str, path: str, **more: Any) -> Any:
        """Call Airflow's REST API, again while the API server is away; return the JSON."""
        base = self.stack.variables["GENOPS_AIRFLOW_URL"]
        patience = Patience()
        while True:
            try:
                if self._login is None:
                    self._login = self.stack.airflow_login()
                answer = httpx.request(
                    method, f"{base}/api/v2{path}", headers=self._login, timeout=HANG_SECONDS, **more
                )
                return answer.raise_for_status().json()
            except httpx.HTTPError as error:
                patience.spend(f"Airflow answers {method} {path}: {error!r}")
                time.sleep(0.5)

    def dags_known(self) -> list[str]:
        """Return the ids of our Dags, without the samples: these are paused."""
        found = self.airflow("GET", "/dags?limit=100&tags=genops")["dags"]
        return sorted(one["dag_id"] for one in found if "sample" not in {tag["name"] for tag in one["tags"]})

    def pause(self, dag: str, *, paused: bool) -> None:
        """Pause a Dag, or let it go on."""
        self.airflow("PATCH", f"/dags/{dag}", json={"is_paused": paused})

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask Airflow's database."""
        password = secrets_of(self.stack.home).postgres_password
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.state().ports["postgres"],
            user=SUPERUSER,
            password=password,
            dbname=DATABASE,
            connect_timeout=5,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def open_runs(self) -> list[tuple[str, str, str]]:
        """Return Dag id, run id and state of the Dag runs that have not ended."""
        sql = "SELECT dag_id, run_id, state FROM dag_run WHERE state IN ('queued', 'running') ORDER BY dag_id, run_id"
        return [(str(dag), str(run), str(state)) for dag, run, state in self.query(sql)]

    def calm(self) -> None:
        """Undo all harm, and return when nothing is under way any more."""
        for name in ("storage", "pubsub", "vertex"):
            until(lambda one=name: self.component(one).state == "running", what=name)
        self.no_faults()
        self.until_well()
        for dag in self.dags_known():
            self.pause(dag, paused=False)
        until(lambda: not self.open_runs(), what=f"the end of all runs: {self.open_runs()}")


def dataset(number: int) -> str:
    """Return the name of a dataset of the chaos stack."""
    return f"chaos-{number:02}"


def _configure(config: dict[str, Any]) -> None:
    """Make genops.yaml quick to heal, and with a dataset for each burst."""
    config["intake"] = {"sweep_minutes": 1, "patience_minutes": 0.5}
    example = config["datasets"].popitem()[1]
    for name in (*map(dataset, range(DATASETS)), FURTHER):
        one = copy.deepcopy(example)
        one["prefix"] = f"training/{name}/"
        if name == FURTHER:
            one["tuning"]["start_from"] = "champion"
        # A small file never reaches the example's gate; here it is the way that matters, not the score.
        one["evaluation"]["gate"] = {}
        one["budget"] = {"tuning_usd": 1000, "inference_usd": 1000, "monthly_usd": 1_000_000}
        config["datasets"][name] = one


@contextmanager
def chaos_stack(folder: Path, *options: str, keep: Callable[[], bool]) -> Iterator[ChaosStack]:
    """Start a stack under `folder`; stop it in the end, and leave its folder where `keep` then says so."""
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    with running_stack(folder, "--dags", os.fspath(dags), *options, change=_configure) as stack:
        running = ChaosStack(stack, dags)
        try:
            running.no_faults()
            yield running
        finally:
            stack.keep = keep()
            running.close()
