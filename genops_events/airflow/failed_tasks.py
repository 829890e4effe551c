"""Find a task that failed, and the end of its log with the secrets taken out of it.

A task has no way to Airflow's database; what it may know of other tasks it asks Airflow's REST for, as the user that
GENOPS_AIRFLOW_TOKEN, or GENOPS_AIRFLOW_USERNAME and GENOPS_AIRFLOW_PASSWORD, name. That user needs to see task logs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from genops_events.airflow.log_masking import Excerpt, excerpt, secret_values
from genops_events.airflow_rest.client import AirflowNotConfigured, AirflowNotFound, AirflowRest, known_airflow
from genops_events.errors import PermanentError

ANY = "~"
"""Airflow's word for every Dag, or every Dag run."""
_MESSAGES = 500
"""Of a log, the last ones."""
_LOOKED_AT = 100
_FOLDS = ("::group::", "::endgroup::")
"""Marks by which Airflow's pages fold a log."""


class NoFailure(PermanentError):
    """No task failed where one was looked for."""


@dataclass(frozen=True, slots=True)
class FailedTask:
    """One try of a task that failed."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    ended_at: str | None
    operator: str | None

    def __str__(self) -> str:
        """Name it as people do."""
        part = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{part}, try {self.try_number} in {self.run_id}"


def own_airflow() -> AirflowRest:
    """Return the Airflow that this task runs in.

    Raises:
        AirflowNotConfigured: GENOPS_AIRFLOW_URL is not set.
    """
    found = known_airflow()
    if found is None:
        raise AirflowNotConfigured(
            "GENOPS_AIRFLOW_URL is not set, so this task cannot ask Airflow for a log.",
            "Set it where tasks run, with GENOPS_AIRFLOW_TOKEN or GENOPS_AIRFLOW_USERNAME and GENOPS_AIRFLOW_PASSWORD of a "
            "user who may read task logs. The local stack sets it.",
        )
    return found


def last_failure(
    airflow: AirflowRest, *, dag_id: str | None = None, run_id: str | None = None, but: str | None = None
) -> FailedTask:
    """Return the task that failed last.

    Args:
        airflow: where to look.
        dag_id: only in this Dag.
        run_id: only in this run of it.
        but: in any Dag but this one.

    Raises:
        NoFailure: none did.
        AirflowUnavailable, AirflowRefused: Airflow cannot be asked.
    """
    where = f"{dag_id or 'any Dag'}{f', run {run_id}' if run_id else ''}"
    if run_id and not dag_id:
        raise NoFailure(f"The run {run_id} of which Dag? No Dag is given.", "Name the Dag, too.")
    path = f"/api/v2/dags/{_in_path(dag_id or ANY)}/dagRuns/{_in_path(run_id or ANY)}/taskInstances"
    try:
        page = airflow.get(path, {"state": "failed", "order_by": "-end_date", "limit": _LOOKED_AT})
    except AirflowNotFound as error:
        raise NoFailure(f"Airflow does not know {where}.", "`airflow dags list` names the Dags.") from error
    found = [_failed(one) for one in page["task_instances"] if one["dag_id"] != but]
    if not found:
        raise NoFailure(f"No task has failed in {where}.", "There is nothing to explain.")
    return found[0]


def log_of(airflow: AirflowRest, task: FailedTask, *, most_characters: int) -> Excerpt:
    """Return the end of a task's log, with the secrets masked.

    Three masks, one after the other: Airflow's own, which has masked what it knows when the log was written and does so
    again with what this process knows; the values of this process's environment whose names say that they are secrets; and
    the forms of `log_masking`.
    """
    from airflow.sdk.log import redact  # type: ignore[attr-defined] # the providers import it from here, too

    path = (
        f"/api/v2/dags/{_in_path(task.dag_id)}/dagRuns/{_in_path(task.run_id)}/taskInstances/{_in_path(task.task_id)}"
    )
    messages = airflow.last_lines(
        f"{path}/logs/{task.try_number}?map_index={task.map_index}&full_content=true", count=_MESSAGES
    )
    text = str(redact("\n".join(_lines(messages))))
    return excerpt(text, most_characters=most_characters, values=secret_values(os.environ))


def _failed(one: Mapping[str, Any]) -> FailedTask:
    return FailedTask(
        dag_id=one["dag_id"],
        run_id=one["dag_run_id"],
        task_id=one["task_id"],
        map_index=one["map_index"],
        try_number=one["try_number"],
        ended_at=one["end_date"],
        operator=one["operator_name"],
    )


def _lines(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield messages as lines: time, level and event, and the exception below it. What else they carry is left out."""
    for one in messages:
        if str(one.get("event", "")).startswith(_FOLDS):
            continue
        head = " ".join(str(one[key]) for key in ("timestamp", "level") if one.get(key))
        yield f"{head} {one.get('event', '')}".strip()
        for error in one.get("error_detail") or ():
            for frame in error.get("frames") or ():
                yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
            yield f"{error.get('exc_type')}: {error.get('exc_value')}"


def _in_path(name: str) -> str:
    return quote(name, safe="~")
