"""Sweeps with little patience, for tests of what they heal."""

from __future__ import annotations

import time

import pytest
from airflow_context import Airflow
from cloud import DATASET, PATIENCE_SECONDS, PREFIX
from made_up import now

from genops_events.airflow.healing import sweep
from genops_events.config import Config, Intake
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.notifications import Notice, arrival
from genops_events.intake.open_candidates import mint
from genops_events.record.intake import Sweep
from genops_events.record.paths import sweep_path


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


def swept(
    airflow: Airflow, config: Config, store: RecordStore, *, run_id: str = "sweep-1", impatient: bool = False
) -> tuple[set[str], Sweep]:
    """Wait until patience is over, and sweep; return what is to be woken, and the figures as they are stored.

    Where it is not waited for (`impatient`), it is far from over, however busy the machine is.
    """
    if impatient:
        config = config.model_copy(update={"intake": Intake()})
    else:
        time.sleep(PATIENCE_SECONDS + 0.05)
    task = airflow.task(run_id=run_id, run_type="scheduled")
    figures = sweep(task.context(), config, store)
    document = store.read(sweep_path(), Sweep)
    assert document is not None
    assert document.run_id == run_id
    return figures.woken, document


def minted(config: Config, store: RecordStore, name: str = "a.jsonl") -> str:
    """Return a candidate as intake leaves it, of an object that is not in the bucket."""
    notice = Notice(bucket=config.bucket, object=f"{PREFIX}{name}", generation=1)
    made = arrival(notice, dataset=DATASET, found_by="notification", now=now())
    assert mint(store, [made]) == {made.candidate}
    return made.candidate
