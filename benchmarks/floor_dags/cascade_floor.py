"""Six Dags of the cascade's shape whose tasks do nothing: what Airflow alone takes.

An asset event brings the keys, intake mints them, tuning wakes evaluation and budget, either of them wakes
promotion, and of its two runs the one that comes second wakes inference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Context, PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

RECORD = Path(__file__).resolve().parents[1] / "floor-record"
"""Empty files that stand for the record: without any, promotion could not tell its second run from its first."""

ARRIVALS = Asset(name="floor_arrivals", uri="floor://arrivals", group="floor")
DATA = Asset(name="floor_data", uri="floor://data", group="floor")
TUNED = Asset(name="floor_tuned", uri="floor://tuned", group="floor")
EVALUATED = Asset(name="floor_evaluated", uri="floor://evaluated", group="floor")
BUDGETED = Asset(name="floor_budgeted", uri="floor://budgeted", group="floor")
PROMOTED = Asset(name="floor_promoted", uri="floor://promoted", group="floor")


SAME: dict[str, Any] = {"catchup": False, "max_active_runs": 64, "tags": ["floor"]}
"""What the Dags of the cascade have, too."""


def key() -> str:
    """Return the partition key of this Dag run."""
    context: Context = get_current_context()
    return str(context["dag_run"].partition_key)


@task(outlets=[DATA])
def mint() -> None:
    """Emit every key that the asset event names."""
    context = get_current_context()
    events = context["triggering_asset_events"][ARRIVALS]
    context["outlet_events"][DATA].add_partitions(sorted({one for event in events for one in event.extra["keys"]}))


@task(outlets=[TUNED])
def tune() -> None:
    """Do nothing."""


@task(outlets=[EVALUATED])
def evaluate() -> None:
    """Leave an empty file as the verdict."""
    (RECORD / f"{key()}.evaluation").touch()


@task(outlets=[BUDGETED])
def check() -> None:
    """Leave an empty file as the verdict."""
    (RECORD / f"{key()}.budget").touch()


@task(outlets=[PROMOTED])
def promote() -> None:
    """Go on once for each key, when both verdicts are there."""
    of_key = RECORD / key()
    if not all(of_key.with_suffix(f".{verdict}").exists() for verdict in ("evaluation", "budget")):
        raise AirflowSkipException("the other verdict wakes this Dag again")
    try:
        of_key.with_suffix(".promotion").touch(exist_ok=False)
    except FileExistsError:
        raise AirflowSkipException("promoted already") from None


@task
def answer() -> None:
    """Do nothing."""


with DAG("floor_intake", schedule=[ARRIVALS], **{**SAME, "max_active_runs": 1}):
    mint()
with DAG("floor_tuning", schedule=PartitionedAssetTimetable(assets=DATA), **{**SAME, "max_active_runs": 256}):
    tune()
with DAG("floor_evaluation", schedule=PartitionedAssetTimetable(assets=TUNED), **SAME):
    evaluate()
with DAG("floor_budget", schedule=PartitionedAssetTimetable(assets=TUNED), **SAME):
    check()
with DAG("floor_promotion", schedule=PartitionedAssetTimetable(assets=EVALUATED | BUDGETED), **SAME):
    promote()
with DAG("floor_inference", schedule=PartitionedAssetTimetable(assets=PROMOTED), **SAME):
    answer()
