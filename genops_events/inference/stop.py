"""What happens to a batch job when a person ends the Airflow task that waits for it."""

from __future__ import annotations

from genops_events.cascade.stage_run import StageRun
from genops_events.cascade.stopping import end_soon, is_at_work, is_over
from genops_events.inference.batch_cancellation import cancel_batches, wish_to_cancel
from genops_events.inference.batch_end import batch_has_ended
from genops_events.inference.end import INFERENCE_END
from genops_events.record.document import BY_AIRFLOW
from genops_events.record.stages import Stage


def stop_answering(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's batch job; return the names of those that were under way. Arguments as `stop_tuning`.

    The answers of a job that has ended are left to the stage, which a sweep lets go on: to join them may take minutes.
    """
    run = StageRun(Stage.INFERENCE, candidate, run_id)
    if not is_at_work(run) or is_over(batch_has_ended, run):
        return []
    reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
    wish_to_cancel(run.store, candidate, by=BY_AIRFLOW, reason=reason)
    jobs = cancel_batches(run.config, run.store, candidate)
    if ended:
        end_soon(run, INFERENCE_END, "Its task in Airflow was marked as failed, or removed, and it had no batch job.")
    return jobs
