"""Deferred tasks in Airflow's database, without the half hour of worker time that running thousands up to their deferral takes.

Import it only once Airflow's settings are in the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.models.dagbag import DBDagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import func, select, update

DAG_ID = "bench_waiting"
QUEUE = "waiting"
"""Of triggers: the stack's own triggerer takes none of it, and the measured one takes nothing else."""
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Resumed:
    """When a task left the state `deferred`, and what its trigger told; None where it did not."""

    at: datetime | None
    end: str | None


def dag_is_known() -> bool:
    """Tell whether Airflow has read the Dag."""
    with create_session() as session:
        return DBDagBag().get_latest_version_of_dag(DAG_ID, session=session) is not None


def create_runs(count: int) -> None:
    """Have at least so many Dag runs, of one task each.

    They stay queued, and the Dag is paused: the scheduler leaves them alone.
    """
    with create_session() as session:
        dag = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
        assert dag is not None
        known = session.scalar(select(func.count()).where(TaskInstance.dag_id == DAG_ID)) or 0
        for number in range(known, count):
            dag.create_dagrun(
                run_id=f"waiting-{number:05}",
                run_after=datetime.now(UTC),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.QUEUED,
                session=session,
            )
            if number % _AT_ONCE == 0:
                session.commit()
                session.expunge_all()


def defer(triggers: Sequence[tuple[str, dict[str, Any]]]) -> datetime:
    """Defer as many tasks at once; return the moment from which on the triggerer sees them.

    What is stored is what Airflow's execution API stores when a task defers (`execution_api/routes/task_instances.py`).

    Args:
        triggers: class path and arguments of each.
    """
    with create_session() as session:
        tasks = session.scalars(_tasks().limit(len(triggers))).all()
        assert len(tasks) == len(triggers)
        rows = [Trigger(classpath=path, kwargs=kwargs, queue=QUEUE) for path, kwargs in triggers]
        session.add_all(rows)
        session.flush()
        for task, row in zip(tasks, rows, strict=True):
            task.state = TaskInstanceState.DEFERRED
            task.start_date = datetime.now(UTC)
            task.trigger_id = row.id
            task.next_method = "resume"
            task.next_kwargs = {}
            task.scheduled_dttm = None
        session.flush()
        seen = datetime.now(UTC)
        session.commit()
    return seen


def still_deferred() -> int:
    """Return how many tasks wait."""
    return _count(TaskInstanceState.DEFERRED)


def at_work() -> int:
    """Return how many tasks hold a worker, or a place in its queue."""
    return _count(TaskInstanceState.RUNNING, TaskInstanceState.QUEUED)


def resumed(count: int) -> list[Resumed]:
    """Return what became of the first so many tasks, in the order in which they were deferred."""
    found = []
    with create_session() as session:
        for task in session.scalars(_tasks().limit(count)):
            event = (task.next_kwargs or {}).get("event") or {}
            left = task.state != TaskInstanceState.DEFERRED
            found.append(Resumed(task.scheduled_dttm if left else None, event.get("end") if left else None))
    return found


def forget() -> None:
    """Let no task wait any more; Airflow then removes their triggers."""
    with create_session() as session:
        session.execute(
            update(TaskInstance)
            .where(TaskInstance.dag_id == DAG_ID, TaskInstance.state == TaskInstanceState.DEFERRED)
            .values(state=TaskInstanceState.SCHEDULED, trigger_id=None)
        )


def _tasks() -> Any:
    return select(TaskInstance).where(TaskInstance.dag_id == DAG_ID).order_by(TaskInstance.run_id)


def _count(*states: TaskInstanceState) -> int:
    with create_session() as session:
        return session.scalar(select(func.count()).where(TaskInstance.state.in_(states))) or 0
