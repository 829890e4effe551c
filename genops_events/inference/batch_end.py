"""Look at a candidate's batch job before a verdict says that inference failed: its answers may exist, and be paid for."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.cascade import job_ends
from genops_events.errors import PermanentError
from genops_events.inference.batch_jobs import BATCH_JOBS
from genops_events.inference.batch_work import conclude
from genops_events.inference.work import CandidateInference
from genops_events.record import inference as places
from genops_events.record.inference import InferencePlan
from genops_events.record.paths import answers_path
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import InferenceVerdict

if TYPE_CHECKING:
    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.verdicts import Verdict
    from genops_events.waiting.polling import JobEnd


def conclude_by_batch_job(run: StageRun, reason: str) -> Verdict | None:
    """Conclude by the present state of the candidate's batch job, as `job_ends.conclude_by_job` does.

    Answers that cannot be read are a failure. They are kept, and `genops retry` reads them again.
    """

    def read(run: StageRun, name: str, end: JobEnd) -> Verdict | None:
        try:
            return conclude(CandidateInference(run), name, end)
        except PermanentError as error:
            why = f"{reason} Batch job {name} has ended as {end}, and its answers cannot be read: {error.message}"
            hint = f"{error.hint} Then `genops retry {run.candidate}` reads them again.".lstrip()
            figures = {"job": name, "end": str(end), "way": "batch", "help": hint}
            return run.conclude(InferenceVerdict, Outcome.FAILED, why, **figures)

    return job_ends.conclude_by_job(BATCH_JOBS, run, reason, read, without_job=_without_job)


def _without_job(run: StageRun, reason: str) -> Verdict:
    cost_usd = None if _may_have_paid(run) else Decimal(0)
    return run.conclude(InferenceVerdict, Outcome.FAILED, reason, cost_usd=cost_usd)


def _may_have_paid(run: StageRun) -> bool:
    """Return whether answers are kept, a context cache was made, or one may just have been."""
    # The file of answers, or the parts of an unfinished run.
    answers = answers_path(run.candidate).removesuffix(".jsonl")
    if run.store.names(answers) or run.store.names(places.caches_path(run.candidate)):
        return True
    dataset = run.config.datasets.get(run.arrival.dataset)
    if dataset is None or dataset.inference.cache is None:
        return False
    plan = run.store.read(places.plan_path(run.candidate), InferencePlan)
    return plan is not None and plan.way == "online"
