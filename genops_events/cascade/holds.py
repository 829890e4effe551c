"""Hold a stage that would go over a limit, and release it: hold and approval are documents that are written once.

What a crash leaves behind, step by step, and what continues:

| died after | in the record | what continues |
|---|---|---|
| the hold was written | hold | the retry of the task finds it and skips; the sweep announces it |
| the hold was announced | and its event | nothing: the stage waits for a person |
| the approval was written | and the approval | a sweep after `intake.patience_minutes` without a change; or `genops approve` again |
| the marker was updated | and `released` on the marker | the next sweep, at once |
| a sweep recorded a wake-up | marker without `released` | a sweep after another `intake.patience_minutes` |
| a Dag run took the stage on | and the intent of the next round | Airflow's retry; else the sweep closes the stage |
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.intake.open_candidates import note_release
from genops_events.record import holds
from genops_events.record import paths as record_paths
from genops_events.record.holds import HOLDABLE, Approval, Hold, StageRounds
from genops_events.record.retries import Retry, Return
from genops_events.record.stages import Stage

if TYPE_CHECKING:
    from genops_events.gcp.record_store import RecordStore


def rounds_of(store: RecordStore, candidate: str, stage: Stage) -> StageRounds:
    """Return how often `stage` was held and released; takes one listing, which is empty for nearly every candidate."""
    return holds.stage_rounds(_names(store, candidate), candidate, stage)


def is_released(store: RecordStore, candidate: str) -> bool:
    """Return whether any stage of the candidate was ever released or retried: then stages before it are passed at once."""
    names = _names(store, candidate)
    return any(holds.stage_rounds(names, candidate, stage).round for stage in Stage)


def began_before(store: RecordStore, candidate: str, stage: Stage, rounds: StageRounds) -> datetime | None:
    """Return when a stage began that continues in this round after a return or a retry; None for a first round.

    Its cost stays in the ledger of the month in which the first try reserved it.
    """
    kinds: tuple[tuple[type[Return | Retry], str], ...] = (
        *([(Return, record_paths.return_path(candidate, stage, rounds.returns))] if rounds.returns else ()),
        *([(Retry, record_paths.retry_path(candidate, stage, rounds.retries))] if rounds.retries else ()),
    )
    for kind, path in kinds:
        found = store.read(path, kind)
        if found is not None and found.round == rounds.round:
            return found.started_at
    return None


def is_retried(store: RecordStore, candidate: str) -> bool:
    """Return whether a failed verdict of the candidate was ever set aside."""
    names = _names(store, candidate)
    return any(holds.stage_rounds(names, candidate, stage).retries for stage in Stage)


def _names(store: RecordStore, candidate: str) -> set[str]:
    names = set(store.names(record_paths.holds_folder(candidate)))
    if names:  # without holds, a cancellation has no effect on rounds
        path = record_paths.cancellation_path(candidate)
        names.update(name for name in store.names(path) if name == path)
    return names


def approval_of(store: RecordStore, candidate: str, stage: Stage, rounds: StageRounds) -> Approval | None:
    """Return the approval of the stage's last release; None where it was never held, or was released by a cancellation."""
    if not rounds.released:
        return None
    return store.read(record_paths.approval_path(candidate, stage, rounds.released), Approval)


def held(store: RecordStore, candidate: str) -> tuple[Hold, ...]:
    """Return the holds that the candidate waits for."""
    names = _names(store, candidate)
    found = []
    for stage in HOLDABLE:
        rounds = holds.stage_rounds(names, candidate, stage)
        if rounds.is_held:
            hold = store.read(record_paths.hold_path(candidate, stage, rounds.holds), Hold)
            found += [] if hold is None else [hold]
    return tuple(found)


def approvals(store: RecordStore, candidate: str) -> tuple[Approval, ...]:
    """Return the last approval of each stage that was released."""
    names = _names(store, candidate)
    rounds_by_stage = ((stage, holds.stage_rounds(names, candidate, stage)) for stage in HOLDABLE)
    found = (approval_of(store, candidate, stage, one) for stage, one in rounds_by_stage)
    return tuple(one for one in found if one is not None)


def approve(store: RecordStore, hold: Hold, *, by: str, reason: str, claimed: str | None = None) -> Approval:
    """Release a held stage, up to the amount of the hold; return the recorded approval.

    The first approval is the one that counts; repeating the call only updates the marker again.

    Args:
        store: the record.
        hold: the hold that is approved.
        by: the person, such as `ada@example.com`.
        reason: a sentence.
        claimed: the person's name by the environment of the command, where that is another one.
    """
    approval = Approval(
        candidate=hold.candidate,
        written_at=datetime.now(UTC),
        stage=hold.stage,
        number=hold.number,
        by=by,
        reason=reason,
        claimed=claimed,
        approved_usd=hold.asked_usd,
        prompts_over=hold.prompts_over,
    )
    recorded = store.create_or_read(record_paths.approval_path(hold.candidate, hold.stage, hold.number), approval)
    note_release(store, hold.candidate)
    return recorded
