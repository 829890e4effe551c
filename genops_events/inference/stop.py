"""What happens to a batch job when a person ends the Airflow task that waits for it."""

from __future__ import annotations

from genops_events.cascade.stage_run import StageRun
from genops_events.cascade.stopping import stop
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.inference.end import INFERENCE_END
from genops_events.record.stages import Stage


def stop_answering(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's batch jobs, as `stop` does; return the names of those that were under way.

    The answers of a job that has ended are left to the stage, which a sweep continues: joining them may take minutes.
    """
    run = StageRun(Stage.INFERENCE, candidate, run_id)
    return stop(run, BATCH_JOBS, INFERENCE_END, ended=ended, leaves_ended=True)
