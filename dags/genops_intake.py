"""Make every arrival a candidate.

Woken by Pub/Sub through an asset watcher, and by the clock: what no message told, the sweep finds in the bucket.
"""

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from genops_events.airflow.assets import TRAINING_ARRIVALS
from genops_events.airflow.intake import MintCandidates

with DAG(
    "genops_intake",
    schedule=AssetOrTimeSchedule(
        assets=TRAINING_ARRIVALS, timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC")
    ),
    catchup=False,
    max_active_runs=1,  # the watermark has one writer
    doc_md=__doc__,
    tags=["genops"],
):
    MintCandidates(task_id="mint")
