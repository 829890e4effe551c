"""The end of a stage: settle its cost, cancel jobs that are not needed any more, and announce the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from genops_events.cascade.stage_run import StageRun, conclude_failed
from genops_events.gcp.ledger_store import settle
from genops_events.gcp.outbox import announce
from genops_events.money.ledger import Purpose
from genops_events.record.stages import STAGES, Outcome, Stage
from genops_events.record.verdicts import Verdict


def _nothing_to_clean_up(_run: StageRun, _verdict: Verdict) -> None:
    return


def _nothing_left(_run: StageRun) -> None:
    return


@dataclass(frozen=True, slots=True)
class StageEnd:
    """What differs between the ends of stages. The defaults are for a stage without a job that pays for nothing itself."""

    clean_up: Callable[[StageRun, Verdict], None] = _nothing_to_clean_up
    """Cancels jobs that are not needed any more, before the verdict is announced; may be repeated."""
    leftovers: Callable[[StageRun], None] = _nothing_left
    """Removes what a task without further retries has left behind, after its verdict is announced."""
    failed: Callable[[StageRun, str], Verdict | None] = conclude_failed
    """Records that the stage failed for this reason, unless its job has ended otherwise.

    The cost is 0 where nothing was bought, and unknown where there may be a job, or an answer or a score is kept. Answers
    and scores are kept within a second; those that were under way in that second are not seen.

    Returns the verdict, by the end of the job and not by Airflow's state of the task; None where there is none yet, since
    the job is under way or being cancelled. Raises CloudUnavailable or CloudRefused where the job cannot be read; nothing
    is recorded then.
    """


def settle_and_announce(run: StageRun, verdict: Verdict, end: StageEnd) -> None:
    """Settle the verdict's cost, cancel jobs that are not needed any more, then publish the event; all may be repeated.

    The event comes last, since the sweep looks at the event alone: if it is published, the rest is done, too.

    Args:
        run: of the stage.
        verdict: as recorded.
        end: of its stage.
    """
    account(run, verdict)
    end.clean_up(run, verdict)
    announce(run.config, run.store, verdict)


def account(run: StageRun, verdict: Verdict) -> None:
    """Settle the cost of the stage, and release reservations that will not be used; repeating it changes nothing."""
    failed = verdict.outcome is Outcome.FAILED
    # Where the cost is unknown, the reservation is kept.
    if verdict.cost_usd is not None:
        _settle(run, STAGES[verdict.stage].spends, verdict.cost_usd, again=bool(verdict.retries))
    if verdict.outcome is Outcome.HELD or (failed and verdict.stage is not Stage.INFERENCE):
        _settle(run, STAGES[Stage.INFERENCE].spends, Decimal(0))


def _settle(run: StageRun, purpose: Purpose | None, spent: Decimal, *, again: bool = False) -> None:
    if purpose is not None:
        settle(run.store, candidate=run.candidate, purpose=purpose, spent=spent, at=run.month, again=again)
