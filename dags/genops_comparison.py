"""Let contestants answer the same prompts side by side: champion, candidates, base models, other settings.

Each promotion starts it for the contestants that its dataset has in genops.yaml. By hand, the form says who is compared
(`genops compare` fills it in). A contestant that fails stops no other one: the others answer and are scored, and the report has them all.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from genops_events.airflow.assets import PROMOTED_MODEL
from genops_events.airflow.comparison import ConcludeComparison, PlanComparison, RunContestant, form, when_promoted

with DAG(
    "genops_comparison",
    schedule=when_promoted(lambda: PartitionedAssetTimetable(assets=PROMOTED_MODEL)),
    catchup=False,
    max_active_runs=16,
    params=form(),
    doc_md=__doc__,
    tags=["genops"],
):
    plan = PlanComparison(task_id="plan")
    contest = RunContestant.side_by_side("contest", contestants=plan.output)
    report = ConcludeComparison(task_id="report")
    plan >> contest >> report
    plan >> report
