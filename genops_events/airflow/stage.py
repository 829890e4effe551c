"""What all stage operators share: look at the record, do the stage once, write the verdict, announce it."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from genops_events.airflow import failing
from genops_events.airflow.retries import STAGE_DEFAULTS
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.airflow.task_context import partition_key_of, stepping_aside
from genops_events.cascade.stage_end import settle_and_announce
from genops_events.cascade.stage_run import CandidateUnknown, StageRun, leave_to_owner
from genops_events.intake.admission import ForeignArrival
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.verdicts import Verdict

log = logging.getLogger(__name__)


class StageOperator(BaseOperator):
    """Do one stage of the candidate that the Dag run's partition key names, once, however often it is started."""

    stage: ClassVar[Stage]

    def __init__(self, **kwargs: Any) -> None:
        own = {
            "on_failure_callback": record_failure,
            "on_retry_callback": note_failed_try,
            "priority_weight": STAGES[self.stage].priority,
        }
        super().__init__(**{**STAGE_DEFAULTS, **own, **kwargs})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the verdict; do the work only where there is none.

        Raises:
            AirflowSkipException: there is nothing to do (yet), or the verdict ends the candidate.
            AirflowFailException: the verdict is that the stage failed.
        """
        run = self.run_of(context)
        verdict = run.store.verdict(run.candidate, self.stage)
        with stepping_aside():
            if verdict is None:
                verdict = self.work(run, context)
            else:
                leave_to_owner(run, verdict)
        return finish(run, verdict)

    def run_of(self, context: Context) -> StageRun:
        """Return the work that the Dag run of `context` is about; raises as `StageRun.of` does."""
        return _run_of(self.stage, context)

    def work(self, run: StageRun, context: Context) -> Verdict:
        """Do the stage and return its recorded verdict; may defer instead.

        Raises:
            StepAside: there is nothing to do here now.
        """
        raise NotImplementedError


def finish(run: StageRun, verdict: Verdict) -> dict[str, Any]:
    """Announce `verdict`, and end the task as it says.

    A refusal is a verdict and a normal end. What stops the cascade shows as skipped, only a failure as failed.
    """
    settle_and_announce(run, verdict, STAGE_ENDS[run.stage])
    told = verdict.reason_and_help
    log.info("%s of %s: %s. %s", verdict.stage, verdict.candidate, verdict.outcome, told)
    if verdict.outcome is Outcome.FAILED:
        raise AirflowFailException(told)
    if verdict.outcome in {Outcome.REJECTED, Outcome.HELD}:
        raise AirflowSkipException(f"{verdict.outcome}: {verdict.reason}")
    return {"outcome": str(verdict.outcome), "reason": verdict.reason, **verdict.figures()}


def record_failure(context: Context) -> None:
    """Record and announce how a stage ended whose retries are used up, if it ended (failure callback).

    Its job is asked first, if it has one. What only Airflow did wrong ends no stage: a sweep lets it go on.
    """
    task = context["task"]
    assert isinstance(task, StageOperator)
    run = _owned(task.stage, context)
    if run is None:
        return  # a sweep lets the stage go on, if it is this Dag run's
    # Stages that wait for this one never begin; the verdict is what ends the candidate.
    verdict = failing.record(run, context)
    if verdict is None:
        return
    end = STAGE_ENDS[run.stage]
    settle_and_announce(run, verdict, end)
    end.leftovers(run)


def note_failed_try(context: Context) -> None:
    """Count a try that failed by the stage's own error (retry callback): only these use its retries up."""
    task = context["task"]
    assert isinstance(task, StageOperator)
    run = _owned(task.stage, context)
    if run is not None:
        failing.note(run, context)


def _owned(stage: Stage, context: Context) -> StageRun | None:
    """Return the work of a try that failed by its own error; None where it did not, or its Dag run does not own the stage."""
    try:
        run = _run_of(stage, context)
    except (CandidateUnknown, ForeignArrival):
        return None  # the task has failed for that, and said so; there is nothing to record it about
    error = context.get("exception")
    if not failing.is_own(error):
        how = "without an error" if error is None else f"by {type(error).__name__}"
        log.warning(
            "A try of %s of %s ended %s: Airflow ended it, which says nothing about the stage",
            stage,
            run.candidate,
            how,
        )
        return None
    owner = run.owner()
    if owner is None or owner.run_id != run.run_id:
        log.warning(
            "%s of %s belongs to another Dag run: this task fails, and no failure of the stage is recorded",
            stage,
            run.candidate,
        )
        return None
    return run


def _run_of(stage: Stage, context: Context) -> StageRun:
    return StageRun.of(stage, key=partition_key_of(context), run_id=str(context["dag_run"].run_id))
