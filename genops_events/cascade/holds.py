"""Hold a stage that would go over a limit, and let it go on: each a document that is written once.

What a crash leaves behind, step by step, and who goes on:

| died after | what is there | who goes on |
|---|---|---|
| the hold was written | hold | the retry of the task finds it and skips; the sweep announces it |
| the hold was announced | and its event | none is needed: the stage waits for a person |
| the approval was written | and the approval | a sweep, once nothing has moved for patience; or `genops approve` again |
| the marker was noted | and `released` on the marker | the next sweep, at once |
| a sweep noted a wake-up | marker without `released` | a sweep after another patience |
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


def standing_of(store: RecordStore, candidate: str, stage: Stage) -> StageRounds:
    """Return how often `stage` was held, and let go on: one listing, which is empty for nearly every candidate."""
    return holds.stage_rounds(_names(store, candidate), candidate, stage)


def is_released(store: RecordStore, candidate: str) -> bool:
    """Return whether any stage of the candidate was ever let go on: what was done before it is passed at once."""
    names = _names(store, candidate)
    return any(holds.stage_rounds(names, candidate, stage).round for stage in Stage)


def began_before(store: RecordStore, candidate: str, stage: Stage, rounds: StageRounds) -> datetime | None:
    """Return when the stage began that a return or a retry lets go on in this round; None where the round is its first.

    What it costs stays in the ledger of that month, wherever the first try has reserved it.
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
    if names:  # otherwise it does not matter
        path = record_paths.cancellation_path(candidate)
        names.update(name for name in store.names(path) if name == path)
    return names


def approval_of(store: RecordStore, candidate: str, stage: Stage, rounds: StageRounds) -> Approval | None:
    """Return what the last release of the stage allows; None where it was never held, or was released by a cancellation."""
    if not rounds.released:
        return None
    return store.read(record_paths.approval_path(candidate, stage, rounds.released), Approval)


def held(store: RecordStore, candidate: str) -> tuple[Hold, ...]:
    """Return what the candidate waits for."""
    names = _names(store, candidate)
    found = []
    for stage in HOLDABLE:
        rounds = holds.stage_rounds(names, candidate, stage)
        if rounds.is_held:
            hold = store.read(record_paths.hold_path(candidate, stage, rounds.holds), Hold)
            found += [] if hold is None else [hold]
    return tuple(found)


def approvals(store: RecordStore, candidate: str) -> tuple[Approval, ...]:
    """Return the last approval of each stage that was let go on."""
    names = _names(store, candidate)
    rounds_by_stage = ((stage, holds.stage_rounds(names, candidate, stage)) for stage in HOLDABLE)
    found = (approval_of(store, candidate, stage, one) for stage, one in rounds_by_stage)
    return tuple(one for one in found if one is not None)


def approve(store: RecordStore, hold: Hold, *, by: str, reason: str, claimed: str | None = None) -> Approval:
    """Let a held stage go on, up to what it asked for; return the approval that is recorded.

    The first who approves is the one that is recorded; repeating it notes the release on the marker again.

    Args:
        store: the record.
        hold: what is approved.
        by: who, such as `ada@example.com`.
        reason: why, a sentence.
        claimed: who the environment of the command says it is.
    """
    mine = Approval(
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
    recorded = store.create_or_read(record_paths.approval_path(hold.candidate, hold.stage, hold.number), mine)
    note_release(store, hold.candidate)
    return recorded
