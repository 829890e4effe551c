"""Give the champion's place back to an earlier candidate, and finish rollbacks that were interrupted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from genops_events.errors import PermanentError
from genops_events.gcp.outbox import deliver
from genops_events.promotion import registry
from genops_events.promotion.championship import Contender, champion_after_rollback, predecessor_of
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
    """There is no candidate that the champion's place could go to, or the named one is none."""


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
    """Make `to`, or the champion before, the champion of `dataset`; return the rollback, and a sentence about the registry.

    The compare-and-set on the champion's document is the rollback. All later steps (the rollback's own document, the
    event, the alias) are done here, or by the next sweep.

    Args:
        config: project, location, topics.
        store: the record.
        dataset: its name.
        to: the candidate; None for the champion before.
        by: the person, such as `ada@example.com`.
        reason: a sentence.
        claimed: the person's name by the environment of the command, where that is another one.

    Raises:
        NoRollbackTarget: there is no champion, none before it, or the candidate cannot be champion; nothing was changed.
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
    contender, recorded = _contender(store, dataset, target, before)
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
    # A late candidate never was champion: the next rollback leads back to the present one.
    predecessor = predecessor_of(target, before.earlier, recorded) if target in before.earlier else before.candidate

    def change(champion: Champion | None) -> Champion | None:
        if champion is None or champion.rollback == rollback:
            return None
        if champion.candidate != before.candidate:
            raise NoRollbackTarget(
                f"{champion.candidate} has become champion of {dataset} meanwhile; nothing was changed.",
                "Look at `genops champions`, and roll back once more if it is still wanted.",
            )
        return champion_after_rollback(contender, champion, rollback, predecessor=predecessor, now=now)

    store.update(record_paths.champion_path(dataset), Champion, change)
    if store.read(pruned_path(target), Pruned) is not None:
        _take_back(store, before, rollback)
        raise NoRollbackTarget(
            f"The model of {target} is being deleted by `genops prune` at this moment; {before.candidate} stays.",
            "Name another candidate with `--to`, or repeat it if `genops prune` left the model after all.",
        )
    return rollback, finish_rollbacks(config, store, dataset)


def _take_back(store: RecordStore, before: Champion, rollback: Rollback) -> None:
    def change(champion: Champion | None) -> Champion | None:
        return before if champion is not None and champion.rollback == rollback else None

    store.update(record_paths.champion_path(before.dataset), Champion, change)


def _contender(store: RecordStore, dataset: str, candidate: str, champion: Champion) -> tuple[Contender, str | None]:
    """Return a candidate that was champion, or was held for being late, and the champion before it by its verdict."""
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
            f"The model of {candidate} was deleted by {pruned.by} at {pruned.written_at:%Y-%m-%d %H:%M} UTC.",
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
    """Record, announce and show the unfinished rollbacks of `dataset`; return a sentence about the registry.

    Repeating it is safe: a rollback is removed from the champion's list only after all its steps are done.

    Raises:
        CloudUnavailable: a service does not answer; the next call continues from there.
    """
    champion = store.champion(dataset)
    if champion is None or not champion.unannounced:
        return ""
    done = champion.unannounced
    for rollback in done:
        store.create(rollback_path(rollback), rollback)
        event = rollback_announcement(rollback, bucket=store.bucket.name, now=datetime.now(UTC))
        deliver(config, store, rollback_announcement_path(rollback), event)
        # A newer champion has taken the place in the registry from the target of this rollback.
        sentence = registry.mirror_after(config, store, champion, rollback.candidate)

    def without_done(now: Champion | None) -> Champion | None:
        if now is None:
            return None
        left = tuple(one for one in now.unannounced if one not in done)
        return now.model_copy(update={"unannounced": left})

    store.update(record_paths.champion_path(dataset), Champion, without_done)
    return sentence


def unfinished(store: RecordStore, dataset: str) -> tuple[Rollback, ...]:
    """Return the unfinished rollbacks of `dataset`."""
    champion = store.champion(dataset)
    return () if champion is None else champion.unannounced
