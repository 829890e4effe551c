"""The work of promotion: once both verdicts exist, let the candidate challenge the champion, or leave it to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from genops_events.cascade.holds import rounds_of
from genops_events.cascade.stage_run import StageRun
from genops_events.errors import StepAside
from genops_events.gcp.outbox import announce
from genops_events.promotion import registry
from genops_events.promotion.championship import (
    Contender,
    Decision,
    SharedMeans,
    Terms,
    champion_from,
    decide,
    predecessor_of,
)
from genops_events.record import paths as record_paths
from genops_events.record.intake import Arrival
from genops_events.record.paths import champion_path
from genops_events.record.promotion import Champion, PersonsAnswer, answer_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import BudgetVerdict, EvaluationVerdict, PromotionVerdict, Verdict


def decided(run: StageRun) -> Verdict | None:
    """Record the verdict and return it; None where a person has to answer first.

    Raises:
        StepAside: evaluation or budget has no verdict yet, or another Dag run does the stage.
    """
    evaluation = run.store.verdict(run.candidate, Stage.EVALUATION)
    budget = run.store.verdict(run.candidate, Stage.BUDGET)
    if not isinstance(evaluation, EvaluationVerdict) or not isinstance(budget, BudgetVerdict):
        return beyond_help(run) or _wait_for(Stage.EVALUATION if evaluation is None else Stage.BUDGET)
    if Outcome.FAILED in {evaluation.outcome, budget.outcome}:
        raise StepAside("the candidate has failed, so there is nothing to promote")
    answer = run.store.read(answer_path(run.candidate), PersonsAnswer)
    if answer is None or run.owner() is None:
        # Once a person has answered, any Dag run may end the candidate: the one that asked only waits.
        run.take_on()
    # A verdict may be recorded before its event is published. Events have to come in order, so they are published first.
    for verdict in (evaluation, budget):
        announce(run.config, run.store, verdict)
    champion = _with_arrival(run, run.store.champion(run.arrival.dataset))
    if champion is not None and run.candidate in (champion.candidate, *champion.earlier):
        # An earlier try made it champion and died: neither an answer nor a change of genops.yaml undoes that.
        return _promoted(run, evaluation, champion, answer, decided=None)
    refusals = _refusals([evaluation, budget])
    if refusals:
        return _hold(run, evaluation, refusals, None)
    return _judge_candidate(run, evaluation, champion, answer)


def _judge_candidate(
    run: StageRun, evaluation: EvaluationVerdict, champion: Champion | None, answer: PersonsAnswer | None
) -> Verdict | None:
    """Record and return the verdict on a candidate that passed gate and budget; None where a person has to answer first."""
    contender = _contender(run, evaluation)
    if contender is None:
        reason = (
            f"It was not evaluated by {run.dataset.evaluation.decisive}, which `evaluation.decisive` in genops.yaml asks "
            "for now. Upload again."
        )
        return _hold(run, evaluation, reason, answer)
    if answer is not None and not answer.approved:
        return _hold(run, evaluation, answer.sentence, answer)
    if (
        answer is None
        and run.dataset.promotion.approval == "person"
        and decide(contender, champion, _terms(run, asked_at=datetime.now(UTC))).wins
    ):
        return None
    return _challenge(run, evaluation, contender, answer)


def _wait_for(missing: Stage) -> NoReturn:
    raise StepAside(f"waiting for the verdict of {missing}, which wakes this Dag again")


def beyond_help(run: StageRun) -> Verdict | None:
    """End a candidate that waits for an approval although it cannot become champion any more, so that no person is asked.

    Return the recorded verdict; None where the candidate does not wait for approvals alone, or may still win. The stage is
    not taken on for this: nothing is asked or paid, and a second Dag run finds the verdict.
    """
    found = {stage: run.store.verdict(run.candidate, stage) for stage in (Stage.EVALUATION, Stage.BUDGET)}
    verdicts = [one for one in found.values() if one is not None]
    missing = [stage for stage, one in found.items() if one is None]
    if not missing or not all(rounds_of(run.store, run.candidate, stage).is_held for stage in missing):
        return None
    answer = run.store.read(answer_path(run.candidate), PersonsAnswer)
    if answer is not None and answer.approved:
        answer = None
    reason = _refusals(verdicts) if answer is None else answer.sentence
    if not reason or Outcome.FAILED in {one.outcome for one in verdicts}:
        return None
    for verdict in verdicts:
        announce(run.config, run.store, verdict)
    evaluation = found[Stage.EVALUATION]
    assert evaluation is None or isinstance(evaluation, EvaluationVerdict)
    reason = f"{reason} What its {' and '.join(missing)} would cost needs no approval any more."
    return _hold(run, evaluation, reason, answer)


def _refusals(verdicts: Sequence[Verdict]) -> str:
    good = {Outcome.PASSED, Outcome.APPROVED}
    return " ".join(one.reason for one in verdicts if one.outcome not in good)


def _contender(run: StageRun, evaluation: EvaluationVerdict) -> Contender | None:
    metric = run.dataset.evaluation.decisive
    score = evaluation.scores.get(metric)
    if score is None:
        return None
    return Contender(
        candidate=run.candidate,
        dataset=run.arrival.dataset,
        model=run.tuning.model or "",
        endpoint=run.endpoint,
        checkpoint=run.tuning.checkpoint,
        metric=metric,
        score=score,
        scores=evaluation.scores,
        arrived_at=run.arrival.arrived_at,
        common=_common(evaluation, metric),
    )


def _common(evaluation: EvaluationVerdict, metric: str) -> SharedMeans | None:
    found = (evaluation.metrics or {}).get(metric)
    if evaluation.champion is None or found is None or not found.common_rows:
        return None
    if found.common_mean is None or found.champion_mean is None:
        return None
    return SharedMeans(
        evaluation.champion, own=found.common_mean, champions=found.champion_mean, rows=found.common_rows
    )


def _terms(run: StageRun, *, asked_at: datetime | None) -> Terms:
    return Terms(margin=run.dataset.evaluation.margin, late_after=run.dataset.promotion.late_after, asked_at=asked_at)


def _challenge(
    run: StageRun, evaluation: EvaluationVerdict, contender: Contender, answer: PersonsAnswer | None
) -> Verdict:
    """Challenge the present champion, by compare-and-set on its document.

    A crash between the change and the verdict is safe: the next try finds the candidate as champion, or among the
    earlier champions.
    """
    # A timeout is not a person's approval.
    terms = _terms(run, asked_at=None if answer is None or answer.through == "timeout" else answer.written_at)
    decisions: list[Decision] = []

    def change(champion: Champion | None) -> Champion | None:
        decisions.clear()
        if champion is not None and run.candidate in (champion.candidate, *champion.earlier):
            return None
        decisions.append(decide(contender, _with_arrival(run, champion), terms))
        return champion_from(contender, champion, now=datetime.now(UTC)) if decisions[0].wins else None

    champion = run.store.update(champion_path(contender.dataset), Champion, change)
    if champion is not None and run.candidate in (champion.candidate, *champion.earlier):
        return _promoted(run, evaluation, champion, answer, decided=decisions[0] if decisions else None)
    reason = decisions[0].reason if answer is None else f"{answer.sentence} {decisions[0].reason}"
    return _hold(run, evaluation, reason, answer, late=decisions[0].late)


def _promoted(
    run: StageRun,
    evaluation: EvaluationVerdict,
    champion: Champion,
    answer: PersonsAnswer | None,
    *,
    decided: Decision | None,
) -> Verdict:
    if champion.candidate == run.candidate:
        # Without a decision, an earlier try made it champion and died: the document has the champion before.
        reason = decided.reason if decided is not None else _reason_again(run, champion)
        reason += registry.mirror(run.config, run.store, champion)
        metric, before, score = champion.metric, champion.predecessor, champion.predecessor_score
    else:
        reason = f"It was the champion before {champion.candidate}."
        metric, score = run.dataset.evaluation.decisive, None
        before = predecessor_of(run.candidate, champion.earlier, None)
        registry.mirror_after(run.config, run.store, champion, before)
    if answer is not None and answer.approved:
        reason = f"{answer.sentence} {reason}"
    elif answer is not None:
        reason += (
            f" {answer.sentence} That came too late: it was champion by then. `genops rollback {champion.dataset}` gives the "
            "place back."
        )
        answer = None
    return run.conclude(
        PromotionVerdict,
        Outcome.PROMOTED,
        reason,
        metric=metric,
        score=evaluation.scores.get(metric),
        champion_before=before,
        champion_score=score,
        **_answer_figures(answer),
    )


def _reason_again(run: StageRun, champion: Champion) -> str:
    """Return again the reason why this candidate is champion, from its own document alone."""
    before = None
    if champion.predecessor is not None:
        scores = {} if champion.predecessor_score is None else {champion.metric: champion.predecessor_score}
        # Without an arrival, the contender is not late: that was decided when it became champion.
        before = champion.model_copy(update={"candidate": champion.predecessor, "scores": scores, "arrived_at": None})
    contender = Contender(
        candidate=champion.candidate,
        dataset=champion.dataset,
        model=champion.model,
        endpoint=champion.endpoint,
        checkpoint=champion.checkpoint,
        metric=champion.metric,
        score=champion.score,
        scores=champion.scores,
        arrived_at=run.arrival.arrived_at,
    )
    return decide(contender, before, _terms(run, asked_at=None)).reason


def _with_arrival(run: StageRun, champion: Champion | None) -> Champion | None:
    """Return the champion with the time of its arrival, which documents of older versions do not have."""
    if champion is None or champion.arrived_at is not None:
        return champion
    arrival = run.store.read(record_paths.arrival_path(champion.candidate), Arrival)
    return champion if arrival is None else champion.model_copy(update={"arrived_at": arrival.arrived_at})


def _hold(
    run: StageRun,
    evaluation: EvaluationVerdict | None,
    reason: str,
    answer: PersonsAnswer | None,
    *,
    late: bool = False,
) -> Verdict:
    metric = run.dataset.evaluation.decisive
    champion = run.store.champion(run.arrival.dataset)
    return run.conclude(
        PromotionVerdict,
        Outcome.HELD,
        reason,
        metric=metric,
        score=None if evaluation is None else evaluation.scores.get(metric),
        champion_before=champion.candidate if champion else None,
        champion_score=None if champion is None else champion.scores.get(metric),
        late=late or None,
        **_answer_figures(answer),
    )


def _answer_figures(answer: PersonsAnswer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    return {
        "answer": "approved" if answer.approved else "rejected",
        "answered_by": answer.by,
        "answer_reason": answer.reason,
    }
