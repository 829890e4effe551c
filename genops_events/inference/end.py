"""The end of inference: cancel its batch jobs, remove its caches, and adopt answers that are paid for."""

from __future__ import annotations

from genops_events.cascade.stage_end import StageEnd
from genops_events.cascade.stage_run import StageRun
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.inference.cache import remove_all
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import Verdict


def _clean_up(run: StageRun, verdict: Verdict) -> None:
    """After a failure, cancel the candidate's batch jobs."""
    if verdict.outcome is Outcome.FAILED:
        BATCH_JOBS.cancel(run.config, run.store, run.candidate)


def _leftovers(run: StageRun) -> None:
    """Remove the candidate's caches."""
    if run.dataset.inference.cache is not None:
        remove_all(run.config, run.candidate)


def _failed(run: StageRun, reason: str) -> Verdict | None:
    # Not imported at the top: the Dag files of all stages would then import all that reads batch answers.
    from genops_events.inference.batch_end import conclude_by_batch_job

    return conclude_by_batch_job(run, reason)


INFERENCE_END = StageEnd(clean_up=_clean_up, leftovers=_leftovers, failed=_failed)
