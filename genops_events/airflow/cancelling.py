"""What happens when a person ends the Airflow task that waits for a job."""

from __future__ import annotations

from genops_events.airflow.stage import StageRun, settle_and_announce
from genops_events.gcp.cancellation import cancel_tuning
from genops_events.gcp.inference.batch_cancellation import cancel_batches, wish_to_cancel
from genops_events.polling import JobEnd
from genops_events.stages import Outcome, Stage
from genops_events.verdicts import InferenceVerdict, TuningVerdict

WAITING_TRY = "genops_waiting_try"
"""XCom of a task that waits for a job: the number of its try. A cleared task is back, as another try, within two seconds."""


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
    owner = run.owner()
    if owner is None or owner.run_id != run_id or run.store.verdict(candidate, Stage.TUNING) is not None:
        return []
    reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
    jobs = cancel_tuning(run.config, run.store, candidate, by="Airflow", reason=reason)
    if ended:
        named = f"Tuning job {jobs[0]} was cancelled" if jobs else "Tuning was cancelled"
        verdict = run.conclude(
            TuningVerdict,
            Outcome.FAILED,
            f"{named} by Airflow. {reason}",
            job=jobs[0] if jobs else None,
            end=str(JobEnd.CANCELLED),
            help="Upload the file again to tune anew.",
        )
        settle_and_announce(run, verdict)
    return jobs


def stop_answering(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's batch job; return the names of those that were under way. Arguments as `stop_tuning`."""
    run = StageRun(Stage.INFERENCE, candidate, run_id)
    owner = run.owner()
    if owner is None or owner.run_id != run_id or run.store.verdict(candidate, Stage.INFERENCE) is not None:
        return []
    reason = f"Its task in Airflow was {'marked as failed, or removed' if ended else 'cleared'}."
    wish_to_cancel(run.store, candidate, by="Airflow", reason=reason)
    jobs = cancel_batches(run.config, run.store, candidate)
    if ended:
        named = f"Batch job {jobs[0]} was cancelled" if jobs else "Inference was cancelled"
        verdict = run.conclude(
            InferenceVerdict,
            Outcome.FAILED,
            f"{named} by Airflow. {reason}",
            job=jobs[0] if jobs else None,
            end=str(JobEnd.CANCELLED),
            way="batch",
        )
        settle_and_announce(run, verdict)
    return jobs
