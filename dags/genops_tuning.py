"""Tune a model for every training file that arrives.

The file is validated and its cost reserved before anything is spent. Waiting for the job holds no worker, and waiting for
one of the project's places for tuning jobs holds nothing at all.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import TRAINING_DATA, TUNED_MODEL
from genops_events.airflow.priorities import VALIDATION_PRIORITY
from genops_events.airflow.queueing import OldestFirst
from genops_events.airflow.tuning import TuneModel, ValidateTrainingData
from genops_events.airflow_rest.pool import TUNING_JOBS_POOL

with DAG(
    "genops_tuning",
    schedule=PartitionedAssetTimetable(assets=TRAINING_DATA),
    catchup=False,
    max_active_runs=5000,  # a run mostly waits, and waiting costs nothing
    doc_md=__doc__,
    tags=["genops"],
):
    valid = ValidateTrainingData(task_id="validate", priority_weight=VALIDATION_PRIORITY)
    tuned = TuneModel(
        task_id="tune",
        outlets=[TUNED_MODEL],
        pool=TUNING_JOBS_POOL,  # a slot for each tuning job that the project may run at a time
        weight_rule=OldestFirst(),
    )
    valid >> tuned
