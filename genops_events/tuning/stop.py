"""What happens to a tuning job when a person ends the Airflow task that waits for it."""

from __future__ import annotations

from genops_events.cascade.stage_run import StageRun
from genops_events.cascade.stopping import end_soon, is_at_work, is_over
from genops_events.record.document import BY_AIRFLOW
from genops_events.record.stages import Stage
from genops_events.tuning.cancellation import cancel_tuning
from genops_events.tuning.end import TUNING_END, job_has_ended


def stop_tuning(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's tuning jobs; return the names of those that were under way.

    Dying in the middle leaves the rest to the sweep, which finds a Dag run that is over and no verdict.

    Args:
        candidate: whose job.
        run_id: the Dag run whose task was ended; another one's is left alone.
        ended: the task will not come back, so the verdict is recorded and announced here. Otherwise it was cleared: it runs
            again, finds the job cancelled, and records that.
    """
    run = StageRun(Stage.TUNING, candidate, run_id)
    if not is_at_work(run):
        return []
    jobs: list[str] = []
    if not is_over(job_has_ended, run):
        reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
        jobs = cancel_tuning(run.config, run.store, candidate, by=BY_AIRFLOW, reason=reason)
    if ended:
        end_soon(run, TUNING_END, "Its task in Airflow was marked as failed, or removed, and it had no tuning job.")
    return jobs
