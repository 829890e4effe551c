"""Answer the dataset's prompts with its new champion.

Each prompt once: online under the quotas, or by a batch prediction job, which no worker waits for.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import PROMOTED_MODEL
from genops_events.airflow.inference import AnswerPrompts

with DAG(
    "genops_inference",
    schedule=PartitionedAssetTimetable(assets=PROMOTED_MODEL),
    catchup=False,
    max_active_runs=256,  # a queued run cannot be told from a lost one
    doc_md=__doc__,
    tags=["genops"],
):
    AnswerPrompts(task_id="answer")
