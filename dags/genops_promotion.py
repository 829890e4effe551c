"""Make a candidate its dataset's champion, once evaluation and budget agree and it beats the one that is.

Either verdict wakes this Dag: Airflow loses keys of an AND of two assets. The run that comes first finds
one verdict missing and ends as skipped; the second decides.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import BUDGETED_MODEL, EVALUATED_MODEL, PROMOTED_MODEL
from genops_events.airflow.promotion import PromoteModel

with DAG(
    "genops_promotion",
    schedule=PartitionedAssetTimetable(assets=EVALUATED_MODEL | BUDGETED_MODEL),
    catchup=False,
    max_active_runs=256,  # a queued run cannot be told from a lost one
    doc_md=__doc__,
    tags=["genops"],
):
    PromoteModel(task_id="promote", outlets=[PROMOTED_MODEL])
