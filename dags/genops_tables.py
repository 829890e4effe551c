"""Bring the tables for analysis up to date: as Parquet in the bucket, and in BigQuery if genops.yaml names a dataset.

Nothing waits for this Dag. What it could not write or load it finds again in its next run.
"""

from airflow.sdk import DAG, DeltaTriggerTimetable

from genops_events.airflow.tables import ExportTables, tables_interval

with DAG(
    "genops_tables",
    schedule=DeltaTriggerTimetable(tables_interval()),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["genops"],
):
    ExportTables(task_id="export")
