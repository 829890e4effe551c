"""What a person needs to see why a candidate went wrong: its folder, its Dag runs and tasks, and where the logs are."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from chaos_stack import ChaosStack
from invariants import Count
from seen import folders

SHOWN = 8
"""Candidates that are shown in full: one is often enough, a hundred are too many to read."""


def evidence(stack: ChaosStack, counted: Count) -> str:
    """Return all that can be said about what is wrong."""
    return "\n".join(_lines(stack, counted))


def _lines(stack: ChaosStack, counted: Count) -> Iterator[str]:
    wrong = counted.wrong()
    yield f"{len(wrong)} candidates went wrong; logs: {stack.stack.home}/logs, {stack.stack.home}/airflow/logs"
    for candidate, problems in sorted(wrong.items())[:SHOWN]:
        yield f"── {candidate}"
        yield from (f"   {one}" for one in problems)
        yield from _record(stack, candidate)
        try:
            yield from _runs(stack, candidate)
        except httpx.HTTPError as error:
            yield f"   Airflow does not tell: {error}"
    for one in wrong.keys() - set(sorted(wrong)[:SHOWN]):
        yield f"── {one}: {'; '.join(wrong[one])}"


def _record(stack: ChaosStack, candidate: str) -> Iterator[str]:
    found = folders(stack.bucket, [candidate.rpartition("-")[0]]).get(candidate)
    if found is None:
        yield "   not in the record"
        return
    for name, written_at in sorted(found.written.items(), key=lambda one: one[1]):
        mark = "" if not name.startswith("events/") else (" published" if name in found.published else " NOT PUBLISHED")
        yield f"   {written_at:%H:%M:%S.%f} {name}{mark}"


def _runs(stack: ChaosStack, candidate: str) -> Iterator[str]:
    rows = stack.query(
        "SELECT dag_id, run_id, state, start_date, end_date FROM dag_run WHERE partition_key = %s ORDER BY id",
        candidate,
    )
    for dag, run, state, started, ended in rows:
        yield f"   {dag} {run}: {state}, {_time(started)} to {_time(ended)}"
        tasks = stack.airflow("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        for task in tasks:
            yield f"      {task['task_id']}: {task['state']}, try {task['try_number']} of {task['max_tries'] + 1}"


def _time(at: object) -> str:
    return "-" if at is None else f"{at:%H:%M:%S}"
