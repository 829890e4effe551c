"""Give the champion's place back to an earlier candidate, and finish what a command that died has begun."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.errors import PermanentError
from genops_events.gcp.outbox import deliver
from genops_events.promotion import registry
from genops_events.promotion.championship import Contender, predecessor_of, restored
from genops_events.record import paths as record_paths
from genops_events.record.events import rollback_announcement, rollback_announcement_path
from genops_events.record.intake import Arrival
from genops_events.record.promotion import Champion, Pruned, Rollback, pruned_path, rollback_path
from genops_events.record.stages import Stage
from genops_events.record.verdicts import EvaluationVerdict, PromotionVerdict, TuningVerdict

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore


class NoRollbackTarget(PermanentError):
    """There is no candidate to give the champion's place to, or not this one."""


def roll_back(
    config: Config,
    store: RecordStore,
    dataset: str,
    *,
    to: str | None,
    by: str,
    reason: str,
    claimed: str | None = None,
) -> tuple[Rollback, str]:
    """Make `to` the champion of `dataset`, or who was it before; return the rollback, and what the registry says to it.

    The compare-and-set on the champion's document is the rollback: whatever comes after it (the rollback's own document,
    the event, the alias) is done here, or by the next sweep.

    Args:
        config: project, location, topics.
        store: the record.
        dataset: whose champion.
        to: the candidate; None for the champion before.
        by: who wants it, such as `ada@example.com`.
        reason: why, a sentence.
        claimed: who the environment of the command says it is.

    Raises:
        NoRollbackTarget: no champion, none before it, or a candidate that cannot be one; nothing was changed.
    """
    before = store.champion(dataset)
    if before is None:
        raise NoRollbackTarget(
            f"{dataset} has no champion, so there is nothing to roll back.", "`genops champions` lists them."
        )
    target = before.predecessor if to is None else to
    if target is None:
        raise NoRollbackTarget(
            f"{before.candidate} is the first champion of {dataset}: there is none before it.",
            "Name one with `--to CANDIDATE`; `genops candidates` lists them.",
        )
    if target == before.candidate:
        raise NoRollbackTarget(
            f"{target} is the champion of {dataset} already.", "`genops champions` lists the earlier ones."
        )
    contender, told = _contender(store, dataset, target, before)
    now = datetime.now(UTC)
    rollback = Rollback(
        candidate=before.candidate,
        written_at=now,
        dataset=dataset,
        champion=target,
        by=by,
        reason=reason,
        claimed=claimed,
        metric=before.metric,
        score=before.score,
        champion_score=contender.scores.get(before.metric),
    )
    # A late one never was champion: the next rollback undoes this one.
    predecessor = predecessor_of(target, before.earlier, told) if target in before.earlier else before.candidate

    def change(champion: Champion | None) -> Champion | None:
        if champion is None or champion.rollback == rollback:
            return None
        if champion.candidate != before.candidate:
            raise NoRollbackTarget(
                f"{champion.candidate} has become champion of {dataset} meanwhile; nothing was changed.",
                "Look at `genops champions`, and roll back once more if it is still wanted.",
            )
        return restored(contender, champion, rollback, predecessor=predecessor, now=now)

    store.update(record_paths.champion_path(dataset), Champion, change)
    if store.read(pruned_path(target), Pruned) is not None:
        _take_back(store, before, rollback)
        raise NoRollbackTarget(
            f"The model of {target} is being taken away by `genops prune` at this very moment; {before.candidate} stays.",
            "Name another candidate with `--to`, or repeat it if `genops prune` left the model after all.",
        )
    return rollback, finish_rollbacks(config, store, dataset)


def _take_back(store: RecordStore, before: Champion, rollback: Rollback) -> None:
    def change(champion: Champion | None) -> Champion | None:
        return before if champion is not None and champion.rollback == rollback else None

    store.update(record_paths.champion_path(before.dataset), Champion, change)


def _contender(store: RecordStore, dataset: str, candidate: str, champion: Champion) -> tuple[Contender, str | None]:
    """Return what the record says about a candidate that was champion or could have been, and who was it before."""
    arrival = store.read(record_paths.arrival_path(candidate), Arrival)
    if arrival is None or arrival.dataset != dataset:
        raise NoRollbackTarget(
            f"The record knows no candidate {candidate} of {dataset}.", "`genops candidates` lists them."
        )
    promotion = store.verdict(candidate, Stage.PROMOTION)
    assert promotion is None or isinstance(promotion, PromotionVerdict)
    was_champion = candidate in champion.earlier or (promotion is not None and promotion.outcome == "promoted")
    if not was_champion and not (promotion is not None and promotion.late):
        raise NoRollbackTarget(
            f"{candidate} never was champion of {dataset}, and was not held for being late.",
            f"Champions before: {', '.join(dict.fromkeys(champion.earlier)) or 'none'}.",
        )
    pruned = store.read(pruned_path(candidate), Pruned)
    if pruned is not None:
        raise NoRollbackTarget(
            f"The model of {candidate} was taken away by {pruned.by} at {pruned.written_at:%Y-%m-%d %H:%M} UTC.",
            "Upload its training file again to tune it anew; `promotion.keep` says how many are kept.",
        )
    tuning, evaluation = store.verdict(candidate, Stage.TUNING), store.verdict(candidate, Stage.EVALUATION)
    if (
        not isinstance(tuning, TuningVerdict)
        or tuning.endpoint is None
        or not isinstance(evaluation, EvaluationVerdict)
    ):
        raise NoRollbackTarget(f"The record of {candidate} names no tuned model, or no scores.", "")
    metric = champion.metric if champion.metric in evaluation.scores else next(iter(evaluation.scores), champion.metric)
    contender = Contender(
        candidate=candidate,
        dataset=dataset,
        model=tuning.model or "",
        endpoint=tuning.endpoint,
        checkpoint=tuning.checkpoint,
        metric=metric,
        score=evaluation.scores.get(metric, float("nan")),
        scores=evaluation.scores,
        arrived_at=arrival.arrived_at,
    )
    return contender, None if promotion is None or promotion.late else promotion.champion_before


def finish_rollbacks(config: Config, store: RecordStore, dataset: str) -> str:
    """Record, announce and show the rollbacks of `dataset` that are not finished; return what the registry says to it.

    Repeating it is safe: a rollback is taken off the champion's list only after all of it was done.

    Raises:
        CloudUnavailable: a repetition goes on where this one stopped.
    """
    champion = store.champion(dataset)
    if champion is None or not champion.unannounced:
        return ""
    done = champion.unannounced
    for rollback in done:
        store.create(rollback_path(rollback), rollback)
        event = rollback_announcement(rollback, bucket=store.bucket.name, now=datetime.now(UTC))
        deliver(config, store, rollback_announcement_path(rollback), event)
        # Whoever became champion since took the place in the registry from the one that this rollback led to.
        told = registry.mirror_after(config, store, champion, rollback.candidate)

    def strike(now: Champion | None) -> Champion | None:
        if now is None:
            return None
        left = tuple(one for one in now.unannounced if one not in done)
        return now.model_copy(update={"unannounced": left})

    store.update(record_paths.champion_path(dataset), Champion, strike)
    return told


def unfinished(store: RecordStore, dataset: str) -> tuple[Rollback, ...]:
    """Return the rollbacks of `dataset` that were begun and not finished."""
    champion = store.champion(dataset)
    return () if champion is None else champion.unannounced
