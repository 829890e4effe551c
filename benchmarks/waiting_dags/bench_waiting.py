"""Rows for deferred tasks: benchmarks.waiting puts them into the database itself. Paused, so that no resumed task runs."""

from __future__ import annotations

from airflow.sdk import DAG, task


@task
def wait() -> None:
    """Do nothing; it never runs."""


with DAG("bench_waiting", schedule=None, catchup=False, is_paused_upon_creation=True, tags=["benchmark"]):
    wait()
