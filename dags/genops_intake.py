"""Make every arrival a candidate.

Woken by Pub/Sub through an asset watcher, and by the clock: what no message told, and what was lost on
the way to the last verdict, the sweep finds in the bucket.
"""

from airflow.sdk import DAG, AssetOrTimeSchedule, DeltaTriggerTimetable

from genops_events.airflow.assets import TRAINING_ARRIVALS
from genops_events.airflow.intake import MintCandidates, sweep_interval
from genops_events.airflow.priorities import INTAKE_PRIORITY

with DAG(
    "genops_intake",
    schedule=AssetOrTimeSchedule(assets=TRAINING_ARRIVALS, timetable=DeltaTriggerTimetable(sweep_interval())),
    catchup=False,
    max_active_runs=16,  # a run must never stay queued: Airflow cannot tell the events that it consumed
    doc_md=__doc__,
    tags=["genops"],
):
    # Two at once: an arrival does not wait for the end of a sweep.
    MintCandidates(task_id="mint", priority_weight=INTAKE_PRIORITY, max_active_tis_per_dag=2)
