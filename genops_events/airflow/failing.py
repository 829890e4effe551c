"""What a failed try says about its stage: a failure is recorded by the try that is current, by an error of its own alone.

Airflow runs a failure callback for much more: for a try that it has superseded, killed, or lost from sight, and when its
own mistakes have used the retries up (apache/airflow 71580, 72716). None of that says what became of the stage, or of
the job that it waits for. Then nothing is recorded, and a sweep lets the stage go on from where it stands (ADR 0016).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException

from genops_events.airflow.retries import STAGE_RETRIES
from genops_events.airflow.stage_ends import STAGE_ENDS
from genops_events.record import paths as record_paths
from genops_events.record.retries import FailedTries

if TYPE_CHECKING:
    from airflow.sdk import Context

    from genops_events.cascade.stage_run import StageRun
    from genops_events.record.verdicts import Verdict

log = logging.getLogger(__name__)

_ASKED = "genops_failing_try"
_ERROR_CHARACTERS = 500


def record(run: StageRun, context: Context) -> Verdict | None:
    """Record that a stage failed whose Dag run owns it, by its own error, if that can be said.

    Returns:
        The verdict, to be announced: the one that is there, or what this failure makes of the stage. None where there is none.

    Raises:
        GenopsError: the record or the job cannot be asked; nothing is recorded, and a sweep goes on.
    """
    known = run.store.verdict(run.candidate, run.stage)
    if known is not None:
        return known
    error = context.get("exception")
    left_for = _why_not(run, context, error)
    if left_for is None:
        return STAGE_ENDS[run.stage].failed(run, f"{type(error).__name__}: {error}")
    log.warning(
        "No failure of %s of %s is recorded, since %s (%s). A sweep lets it go on where it stands.",
        run.stage,
        run.candidate,
        left_for,
        type(error).__name__ if error is not None else "no error",
    )
    return None


def _why_not(run: StageRun, context: Context, error: object) -> str | None:
    """Return why this failure is not the stage's; None where it is."""
    task: Any = context["ti"]
    own = len(_failed_tries(run).tries) + 1
    others = int(task.try_number) - own
    if others > 0 and own <= (context["task"].retries or 0) and may_pass(error):
        return f"{others} of {task.try_number} tries were Airflow's own"
    return None if is_current(context) else "another try may have begun"


def note(run: StageRun, context: Context) -> None:
    """Count a try that failed by an error of the stage's own, and that Airflow is going to try again."""
    error, task = context.get("exception"), context["ti"]
    told = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]

    def change(found: FailedTries | None) -> FailedTries:
        kept = found or _none_failed(run)
        return kept.model_copy(update={"tries": {**kept.tries, task.try_number: told}})

    run.store.update(_path(run), FailedTries, change)


def _failed_tries(run: StageRun) -> FailedTries:
    return run.store.read(_path(run), FailedTries) or _none_failed(run)


def _none_failed(run: StageRun) -> FailedTries:
    owner = run.owner()
    at = run.started_at()
    return FailedTries(
        candidate=run.candidate, written_at=at, stage=run.stage, run_id=run.run_id if owner is None else owner.run_id
    )


def _path(run: StageRun) -> str:
    return record_paths.failures_path(run.candidate, run.stage, run.rounds.round)


def is_own(error: object) -> bool:
    """Return whether a task ended by an error of the stage's, not by what Airflow did to it.

    Airflow's are those of its own package: a task that has to end, an API server that knows the try no more, a trigger
    that died. An end without an error is one that a scheduler saw, in another process.
    """
    if not isinstance(error, Exception):
        return False
    if isinstance(error, AirflowFailException):
        return True  # what a stage raises for a verdict that is recorded
    package = type(error).__module__
    return not package.startswith("airflow.") or package.startswith("airflow.providers.")


def may_pass(error: object) -> bool:
    """Return whether trying again may help, as the stages' retry policy says."""
    if isinstance(error, AirflowFailException) or not isinstance(error, BaseException):
        return False
    return STAGE_RETRIES.evaluate(error, 1, 1).action is not RetryAction.FAIL


def is_current(context: Context) -> bool:
    """Return whether Airflow still knows this try as the task's latest; False where it cannot be found out.

    Each try has an id of its own, and Airflow takes a word into the task's state store only from the id that is current
    (`execution_api/routes/task_state_store.py`, 3.3.2: 404 for any other).
    """
    try:
        context["task_state_store"].set(_ASKED, int(context["ti"].try_number))
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody can tell
        log.warning("Airflow does not take this try for the current one: %s", error)
        return False
    return True
