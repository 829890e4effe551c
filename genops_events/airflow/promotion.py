"""Promotion: once both verdicts are in, let the candidate challenge the champion."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from genops_events.airflow.stage import StageOperator, StageRun
from genops_events.errors import PermanentError
from genops_events.gates import Challenge, challenge
from genops_events.gcp import registry
from genops_events.gcp.outbox import announce
from genops_events.record import BudgetVerdict, Champion, EvaluationVerdict, PromotionVerdict, Verdict, champion_path
from genops_events.stages import Outcome, Stage

REMEMBERED_CHAMPIONS = 100
"""More than can follow each other while one of them is being retried."""


class PromoteModel(StageOperator):
    """Make the candidate its dataset's champion if evaluation and budget agree and it beats the one that is.

    Both evaluation and budget wake this stage; whichever comes second finds both verdicts in the record.
    """

    stage = Stage.PROMOTION

    def work(self, run: StageRun, context: Context) -> Verdict:  # noqa: ARG002
        """Return the verdict: promoted or held.

        Raises:
            AirflowSkipException: evaluation or budget has not given its verdict yet; the other will wake us again.
        """
        evaluation = run.store.verdict(run.candidate, Stage.EVALUATION)
        budget = run.store.verdict(run.candidate, Stage.BUDGET)
        if not isinstance(evaluation, EvaluationVerdict) or not isinstance(budget, BudgetVerdict):
            missing = Stage.EVALUATION if evaluation is None else Stage.BUDGET
            raise AirflowSkipException(f"waiting for the verdict of {missing}, which wakes this Dag again")
        if Outcome.FAILED in {evaluation.outcome, budget.outcome}:
            raise AirflowSkipException("the candidate has failed, so there is nothing to promote")
        run.take_on()
        # The verdict may be there before its event is out; the order of the events is promised.
        for verdict in (evaluation, budget):
            announce(run.config, run.store, verdict)
        refusals = [one.reason for one in (evaluation, budget) if one.outcome not in {Outcome.PASSED, Outcome.APPROVED}]
        if refusals:
            return _hold(run, evaluation, run.store.champion(run.arrival.dataset), " ".join(refusals))
        return _challenge(run, evaluation)


def _challenge(run: StageRun, evaluation: EvaluationVerdict) -> Verdict:
    """Decide against the champion of this very moment, by compare-and-set.

    Dying after the change and before the verdict is safe: the next try finds itself champion, or among
    the champions before.
    """
    metric = run.dataset.evaluation.decisive
    score = evaluation.scores.get(metric)
    if score is None:
        reason = (
            f"It was not evaluated by {metric}, which `evaluation.decisive` in genops.yaml asks for now. Upload again."
        )
        return _hold(run, evaluation, run.store.champion(run.arrival.dataset), reason)
    decided: list[Challenge] = []

    def change(champion: Champion | None) -> Champion | None:
        decided.clear()
        if champion is not None and run.candidate in (champion.candidate, *champion.earlier):
            return None
        decided.append(challenge(score, _score(champion, metric), run.dataset.evaluation.margin))
        if not decided[0].wins:
            return None
        tuning = run.tuning
        return Champion(
            candidate=run.candidate,
            written_at=datetime.now(UTC),
            dataset=run.arrival.dataset,
            model=tuning.model or "",
            endpoint=run.endpoint,
            checkpoint=tuning.checkpoint,
            metric=metric,
            score=score,
            scores=evaluation.scores,
            promoted_at=datetime.now(UTC),
            predecessor=champion.candidate if champion else None,
            earlier=(champion.candidate, *champion.earlier)[:REMEMBERED_CHAMPIONS] if champion else (),
            predecessor_score=_score(champion, metric),
            predecessor_model=champion.model if champion else None,
        )

    champion = run.store.update(champion_path(run.arrival.dataset), Champion, change)
    if champion is not None and champion.candidate == run.candidate:
        reason = challenge(score, champion.predecessor_score, run.dataset.evaluation.margin).reason
        return run.conclude(
            PromotionVerdict,
            Outcome.PROMOTED,
            f"{reason}{_mirror_in_registry(run, champion)}",
            metric=metric,
            score=score,
            champion_before=champion.predecessor,
            champion_score=champion.predecessor_score,
        )
    if champion is not None and run.candidate in champion.earlier:
        reason = f"It was the champion before {champion.candidate}."
        return run.conclude(PromotionVerdict, Outcome.PROMOTED, reason, metric=metric, score=score)
    return _hold(run, evaluation, champion, decided[0].reason)


def _mirror_in_registry(run: StageRun, champion: Champion) -> str:
    """Give the champion's model its alias, and take it from its predecessor; return what to add to the reason.

    The record says who the champion is; the alias only shows it, so its failure is no failure of the promotion.
    """
    try:
        if champion.model:
            registry.set_champion_alias(run.config, champion.model)
        if champion.predecessor_model and champion.predecessor_model != champion.model:
            registry.remove_champion_alias(run.config, champion.predecessor_model)
        now = run.store.champion(run.arrival.dataset)
        if champion.model and now is not None and now.candidate != champion.candidate:
            registry.remove_champion_alias(run.config, champion.model)  # overtaken meanwhile
    except PermanentError as error:
        return f" The model registry does not show it: {error.message}"
    return ""


def _hold(run: StageRun, evaluation: EvaluationVerdict, champion: Champion | None, reason: str) -> Verdict:
    metric = run.dataset.evaluation.decisive
    return run.conclude(
        PromotionVerdict,
        Outcome.HELD,
        reason,
        metric=metric,
        score=evaluation.scores.get(metric),
        champion_before=champion.candidate if champion else None,
        champion_score=_score(champion, metric),
    )


def _score(champion: Champion | None, metric: str) -> float | None:
    """Return the champion's score in `metric`; None where it was never measured, so that any challenger wins."""
    return None if champion is None else champion.scores.get(metric)
