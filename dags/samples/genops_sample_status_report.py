"""Sample: once a day, what the cascade did in the last 24 hours, in the task's log and in the bucket.

Candidates by how they ended, what was spent, who became champion and what failed come out of the tables of `genops sql`; what
waits for a person and how many dead letters there are is as it is now. It asks no model, so it costs next to nothing. Change
the queries, or send the text to where your team reads.
"""

from typing import Any

from airflow.sdk import DAG, Param, task

from genops_events.airflow.retries import OWN_DAG_DEFAULTS

# DuckDB's SQL; `genops sql` without a query lists the tables. $since and $until are the period's ends.
QUERIES = {
    "Candidates, by how they stand": """
        SELECT dataset, state, count(*) AS candidates, sum(cost_usd) AS cost_usd, count(cost_unknown) AS cost_unknown
        FROM genops.candidates WHERE updated_at >= $since AND updated_at < $until GROUP BY ALL ORDER BY ALL""",
    "Spent and reserved": """
        SELECT dataset, purpose, sum(spent_usd) AS spent_usd, sum(reserved_usd) AS reserved_usd
        FROM genops.spend WHERE posted_at >= $since AND posted_at < $until GROUP BY ALL ORDER BY ALL""",
    "New champions": """
        SELECT dataset, candidate, metric, round(score, 4) AS score, promoted_at
        FROM genops.candidates WHERE promoted_at >= $since AND promoted_at < $until ORDER BY promoted_at""",
    "Failed or rejected": """
        SELECT candidate, state, reason
        FROM genops.candidates WHERE state IN ('failed', 'rejected') AND updated_at >= $since AND updated_at < $until
        ORDER BY updated_at""",
}

with DAG(
    "genops_sample_status_report",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,  # a sample runs for whoever wants it
    doc_md=__doc__,
    tags=["genops", "sample"],
    default_args=OWN_DAG_DEFAULTS,
    params={"hours": Param(24, "How far the report goes back.", title="Hours", type="number", exclusiveMinimum=0)},
):

    @task
    def report(params: Any = None, dag_run: Any = None) -> str:
        """Return where the report is in the bucket."""
        from genops_events import load_config
        from genops_events.doctor.status import keep_report, status_report
        from genops_events.doctor.status_report import Period

        config = load_config()
        period = Period.before(dag_run.run_after, hours=params["hours"])
        text = status_report(config, period, QUERIES)
        print(text)
        return keep_report(config, period, text)

    report()
