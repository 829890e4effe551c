"""The end of a stage: its cost is settled, jobs that are of no use any more are ended, and the verdict is announced."""

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
    """What differs between the ends of stages. By default: it has no job, and pays for nothing itself."""

    clean_up: Callable[[StageRun, Verdict], None] = _nothing_to_clean_up
    """Ends jobs that are of no use any more, before the verdict is announced; may be repeated."""
    leftovers: Callable[[StageRun], None] = _nothing_left
    """Removes what a task has left behind whose retries are used up, after its verdict is announced."""
    failed: Callable[[StageRun, str], Verdict | None] = conclude_failed
    """Records that the stage failed for this reason, unless its job says otherwise, which is asked first.

    Its cost is 0 where nothing was bought, and unknown where there may be a job, or an answer or a score is kept. These are
    kept within a second; what was in flight in that second is not seen.

    Returns the verdict: that of a job which has ended, whatever Airflow says of the task. None where there is none to give
    yet: the job is under way, or being cancelled. Raises CloudUnavailable or CloudRefused where the job cannot be asked;
    nothing is recorded then.
    """


def settle_and_announce(run: StageRun, verdict: Verdict, end: StageEnd) -> None:
    """Enter the verdict's cost, end jobs that are of no use any more, then publish the event; all may be repeated.

    In this order, since the sweep goes by the event: for a verdict that was published, the rest is done, too.

    Args:
        run: the stage's work.
        verdict: recorded.
        end: of its stage.
    """
    account(run, verdict)
    end.clean_up(run, verdict)
    announce(run.config, run.store, verdict)


def account(run: StageRun, verdict: Verdict) -> None:
    """Settle what the stage spent, and release what will not be spent; repeating it changes nothing."""
    failed = verdict.outcome is Outcome.FAILED
    # Where nobody knows what a stage cost, what was reserved for it stays reserved.
    if verdict.cost_usd is not None:
        _settle(run, STAGES[verdict.stage].spends, verdict.cost_usd, again=bool(verdict.retries))
    if verdict.outcome is Outcome.HELD or (failed and verdict.stage is not Stage.INFERENCE):
        _settle(run, STAGES[Stage.INFERENCE].spends, Decimal(0))


def _settle(run: StageRun, purpose: Purpose | None, spent: Decimal, *, again: bool = False) -> None:
    if purpose is not None:
        settle(run.store, candidate=run.candidate, purpose=purpose, spent=spent, at=run.month, again=again)
