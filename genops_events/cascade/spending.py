"""Reserve a stage's money, or hold the candidate: what every stage does before it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from genops_events.cascade.holds import approval_of, is_retried
from genops_events.errors import StepAside
from genops_events.gcp import ledger_store
from genops_events.gcp.outbox import announce_hold
from genops_events.money.ledger import Posting, Purpose, Refusal, month_of, usd
from genops_events.record import paths as record_paths
from genops_events.record.holds import Approval, Hold

if TYPE_CHECKING:
    from genops_events.cascade.stage_run import StageRun
    from genops_events.gemini.prompt_limits import PromptOver

LINES_KEPT = 100
"""So many prompts over a limit are in the hold; `prompts-over.jsonl` in the record has every one."""
LINES_TOLD = 3


@dataclass(frozen=True, slots=True)
class StageLimit:
    """A limit on what one stage may cost."""

    key: str
    """As in genops.yaml: `budget.tuning_usd`."""
    usd: Decimal


def pay_for(
    run: StageRun,
    purpose: Purpose,
    amount: Decimal,
    *,
    limit: StageLimit | None = None,
    over: Sequence[PromptOver] = (),
) -> str | None:
    """Reserve `amount` USD for the stage, once, or hold the candidate; call it before anything is spent.

    What an earlier try has reserved is not asked for again, whatever the limits are now; what it needs more is.
    Returns who let it go over a limit; None where it is within all of them.

    Args:
        run: the stage's work; it has taken the stage on.
        purpose: what the money is for.
        amount: in USD, by an estimate that is never too low.
        limit: of this stage alone, beside those of candidate, dataset and project.
        over: prompts over a limit of genops.yaml.

    Raises:
        StepAside: the candidate is held, and that is recorded and announced. No verdict was written: it
            waits until a person approves it, and then goes on from here.
        LedgerDamaged: the ledger makes no sense.
    """
    reserved = _posting(run, purpose)
    # What a failed verdict released, or settled, is reserved again once that verdict was set aside.
    again = reserved is not None and reserved.settled and is_retried(run.store, run.candidate)
    if reserved is not None and not over and not again and (reserved.settled or amount <= reserved.reserved_usd):
        return reserved.approved_by
    is_over = limit is not None and amount > limit.usd
    refusal = _reserve(run, purpose, amount, dry_run=is_over or bool(over), again=again)
    if refusal is None and not is_over and not over:
        return None
    approval = approval_of(run.store, run.candidate, run.stage, run.rounds)
    if approval is not None and _covers(approval, amount, over):
        _reserve(run, purpose, amount, approved_by=approval.by, again=again)
        return approval.by
    reasons, missing, limits = [], Decimal(0), []
    if limit is not None and is_over:
        missing = amount - limit.usd
        what = f"{purpose.capitalize()} would cost about {usd(amount)}, over `{limit.key}` of {usd(limit.usd)}"
        reasons.append(f"{what}: {usd(missing)} too much.")
        limits.append(limit.key)
    if refusal is not None:
        missing = max(missing, refusal.missing_usd)
        reasons.append(refusal.reason)
        limits += refusal.limits
    if over:
        reasons.append(_told(over))
        limits += sorted({one.limit_key for one in over})
    help_ = _help(run, over, has_begun=reserved is not None)
    hold = _hold(run, amount, " ".join(reasons), help_=help_, missing=missing, limits=limits, over=over)
    raise StepAside(f"held: {hold.reason} {hold.help}")


def _reserve(
    run: StageRun,
    purpose: Purpose,
    amount: Decimal,
    *,
    approved_by: str | None = None,
    dry_run: bool = False,
    again: bool = False,
) -> Refusal | None:
    budget = run.dataset.budget
    return ledger_store.reserve(
        run.store,
        candidate=run.candidate,
        dataset=run.arrival.dataset,
        purpose=purpose,
        amount=amount,
        limit=budget.monthly_usd,
        at=run.month,
        candidate_limit=budget.candidate_usd,
        project_limit=run.config.budget.monthly_usd,
        approved_by=approved_by,
        dry_run=dry_run,
        again=again,
    )


def _covers(approval: Approval, amount: Decimal, over: Sequence[PromptOver]) -> bool:
    fits = amount <= approval.approved_usd and counted(over) <= approval.prompts_over
    return fits and all(one.is_approvable for one in over)


def counted(over: Sequence[PromptOver]) -> int:
    """Return how many prompts these are: one may be over two limits."""
    return len({one.line for one in over})


def _told(over: Sequence[PromptOver]) -> str:
    number = counted(over)
    first = ", ".join(str(one) for one in over[:LINES_TOLD])
    more = "; and more" if len(over) > LINES_TOLD else ""
    return f"{number:,} {'prompt is' if number == 1 else 'prompts are'} over a limit on one prompt: {first}{more}."


def _hold(
    run: StageRun,
    amount: Decimal,
    reason: str,
    *,
    help_: str,
    missing: Decimal,
    limits: Sequence[str],
    over: Sequence[PromptOver],
) -> Hold:
    number = run.rounds.released + 1
    now = datetime.now(UTC)
    mine = Hold(
        candidate=run.candidate,
        written_at=now,
        stage=run.stage,
        number=number,
        dataset=run.arrival.dataset,
        reason=reason,
        help=help_,
        asked_usd=amount,
        missing_usd=missing,
        limits=tuple(limits),
        prompts_over=counted(over),
        lines=tuple(one.to_json() for one in over[:LINES_KEPT]),
        held_at=now,
        run_id=run.run_id,
    )
    hold = run.store.create_or_read(record_paths.hold_path(run.candidate, run.stage, number), mine)
    announce_hold(run.config, run.store, hold)
    return hold


def _help(run: StageRun, over: Sequence[PromptOver], *, has_begun: bool) -> str:
    command = f"`genops approve {run.candidate} --budget`"
    if all(one.is_approvable for one in over):
        so_far = "what was reserved before stays, and what was made with it is kept"
        so_far = so_far if has_begun else "so far nothing of this was spent"
        return f"{command} lets it go on from here; {so_far}."
    file = run.config.uri(run.dataset.inference.prompts)
    return f"Shorten the prompts that the model cannot read in {file}; then {command} lets it be checked again."


def announce_hold_again(run: StageRun, number: int) -> None:
    """Announce a hold whose event was never published."""
    hold = run.store.read(record_paths.hold_path(run.candidate, run.stage, number), Hold)
    if hold is not None:
        announce_hold(run.config, run.store, hold)


def estimated(run: StageRun, purpose: Purpose) -> Decimal | None:
    """Return what was reserved for the candidate in the beginning; None where nothing was, or by an older version.

    Raises:
        LedgerDamaged: the ledger makes no sense.
    """
    posting = _posting(run, purpose)
    return None if posting is None else posting.estimated_usd


def _posting(run: StageRun, purpose: Purpose) -> Posting | None:
    entry = ledger_store.account(run.store, month_of(run.month), run.candidate)
    return None if entry is None else entry.purposes.get(purpose)
