"""Measure the Google provider's tuning operator: real tasks, each with a worker of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import core_seconds
from benchmarks.airflow_rest import AirflowRest, Execution
from benchmarks.bench_stack import BenchStack, StackFailed
from benchmarks.usual_way_setup import SOURCES
from benchmarks.waiting_figures import OPERATOR, Waiting, since_end
from benchmarks.waiting_jobs import TRAINING_FILE, Jobs

DAG_ID = "usual_way_blocking"
POLL_SECONDS = 60.0
"""Fixed in the provider's hook."""
WINDOW_SECONDS = 60.0
SHORTEST_JOB_SECONDS = 60.0
PATIENCE_SECONDS = 240.0


def place_operator(folder: Path) -> None:
    """Put the operator's Dag into the stack's Dags folder.

    Args:
        folder: the benchmark's own folder, before its stack is started.
    """
    from genops_events.config import load_config

    config = load_config(folder / "genops.yaml")
    settings = {
        "project_id": config.project,
        "location": config.location,
        "source_model": next(iter(config.datasets.values())).source_model,
        "training_dataset": {"gcs_uri": f"gs://{config.bucket}/{TRAINING_FILE}"},
        "tuning_job_config": {"epoch_count": 1},
    }
    shutil.copy(SOURCES / "usual_way_blocking.py", folder / "dags")
    (folder / "dags" / "usual_way_blocking.json").write_text(json.dumps(settings))


class Operator:
    """Tasks of the provider's operator on a stack that runs.

    Args:
        stack: the stack.
        jobs: at its Vertex AI stand-in.
        rest: of its Airflow.
    """

    def __init__(self, stack: BenchStack, jobs: Jobs, rest: AirflowRest) -> None:
        self._stack = stack
        self._jobs = jobs
        self._rest = rest

    def measure(self, tasks: int) -> Waiting:
        """Let so many tasks wait for a job each; return what that cost, and how late they noticed its end.

        The jobs last from one to two of the operator's pauses, evenly spread: they end at all moments between two looks.

        Raises:
            StackFailed: a task did not get so far in time.
        """
        from benchmarks import waiting_rows

        made = Waiting(OPERATOR, tasks, POLL_SECONDS)
        self._rest.add_connection("google_cloud_default", "google_cloud_platform")
        self._wait(lambda: self._rest.dag_count(DAG_ID) > 0, "Airflow reads the Dag")
        idle, since = self._worker_bytes(), datetime.now(UTC)
        names = [self._start(f"blocking-{number}", number, tasks) for number in range(tasks)]
        made.started, made.started_seconds = tasks, (datetime.now(UTC) - since).total_seconds()
        before, looks, began = core_seconds.used(self._stack.processes), self._jobs.looks(), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        used, seconds = core_seconds.since(before, self._stack.processes), time.monotonic() - began
        made.cores = used.get(core_seconds.TASKS, 0.0) / seconds
        made.others_share = used[core_seconds.OTHERS] / sum(used.values())
        made.calls_per_minute = (self._jobs.looks() - looks) / seconds * 60
        made.memory_bytes = self._worker_bytes() - idle
        made.workers_held = waiting_rows.at_work()
        self._wait(lambda: len(self._ended(since)) == tasks, "all tasks have ended")
        ended = {one.run_id: one for one in self._ended(since)}
        ends = self._jobs.ends()
        own = [ended[f"blocking-{number}"] for number in range(tasks)]
        made.resumed_seconds, made.wrong = since_end(
            [ends[name].timestamp() if name in ends else None for name in names],
            [one.ended_at.timestamp() for one in own],
        )
        made.wrong += sum(one.end != "success" for one in own)
        return made

    def _start(self, run_id: str, number: int, tasks: int) -> str:
        """Start a task, and return the name of its job as soon as there is one."""
        last = self._jobs.newest()
        self._jobs.faults(job_seconds=SHORTEST_JOB_SECONDS + POLL_SECONDS * (number + 0.5) / tasks)
        self._rest.start_run(DAG_ID, run_id)
        self._wait(lambda: self._jobs.newest() != last, f"the task of {run_id} has submitted its job")
        name = self._jobs.newest()
        assert name is not None
        return name

    def _ended(self, since: datetime) -> list[Execution]:
        return self._rest.executions(DAG_ID, since)

    def _worker_bytes(self) -> int:
        """Return the memory of the processes that run tasks: children of the scheduler."""
        from benchmarks.waiting_triggerer import family, memory_bytes_of

        scheduler = self._stack.processes["scheduler"]
        return sum(memory_bytes_of(pid) for pid in family(scheduler) if pid != scheduler)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > give_up:
                raise StackFailed(f"Not within {PATIENCE_SECONDS:.0f} s: {what}")
            time.sleep(1.0)
