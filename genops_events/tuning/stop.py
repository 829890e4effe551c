"""What happens to a tuning job when a person ends the Airflow task that waits for it."""

from __future__ import annotations

from genops_events.cascade.stage_run import StageRun
from genops_events.cascade.stopping import stop
from genops_events.record.stages import Stage
from genops_events.tuning.end import TUNING_END
from genops_events.tuning.jobs import TUNING_JOBS


def stop_tuning(candidate: str, *, run_id: str, ended: bool) -> list[str]:
    """Cancel the candidate's tuning jobs, as `stop` does; return the names of those that were under way."""
    return stop(StageRun(Stage.TUNING, candidate, run_id), TUNING_JOBS, TUNING_END, ended=ended)
