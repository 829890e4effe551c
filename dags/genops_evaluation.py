"""Score every tuned model on its dataset's evaluation file.

Emits whatever the verdict is: promotion decides.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import EVALUATED_MODEL, TUNED_MODEL
from genops_events.airflow.evaluation import EvaluateModel

with DAG(
    "genops_evaluation",
    schedule=PartitionedAssetTimetable(assets=TUNED_MODEL),
    catchup=False,
    max_active_runs=256,  # a queued run cannot be told from a lost one
    doc_md=__doc__,
    tags=["genops"],
):
    EvaluateModel(task_id="evaluate", outlets=[EVALUATED_MODEL])
