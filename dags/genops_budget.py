"""Price what a tuned model will cost in use, and hold it against the limits.

Emits whatever the verdict is: promotion decides.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import BUDGETED_MODEL, TUNED_MODEL
from genops_events.airflow.budget import CheckBudget

with DAG(
    "genops_budget",
    schedule=PartitionedAssetTimetable(assets=TUNED_MODEL),
    catchup=False,
    max_active_runs=256,  # a queued run cannot be told from a lost one
    doc_md=__doc__,
    tags=["genops"],
):
    CheckBudget(task_id="check", outlets=[BUDGETED_MODEL])
