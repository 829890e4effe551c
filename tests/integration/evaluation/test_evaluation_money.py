"""What an evaluation costs: reserved before the first call, with its judge; held over a limit; settled in the end."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from cloud import Reader, StandIns
from evaluations import FILE, die, evaluated, pairs, promoted, write
from held import the_hold
from made_up import context, now

from genops_events.airflow.evaluation import EvaluateModel
from genops_events.cascade import holds
from genops_events.config import Config
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money.ledger import Posting, month_of
from genops_events.record import paths as record_paths
from genops_events.record.evaluation import EvaluationPlan, plan_path
from genops_events.record.stages import Stage

JUDGED = {"metrics": ["exact_match", "fluency"], "judge": {"samples": 2}}


def posting(store: RecordStore, candidate: str) -> Posting | None:
    entry = ledger_store.account(store, month_of(now()), candidate)
    return None if entry is None else entry.purposes.get("evaluation")


def evaluate_in(candidate: str, run_id: str) -> dict[str, Any]:
    return EvaluateModel(task_id="evaluate").execute(context(candidate, run_id=run_id))


def test_answers_and_judge_are_reserved_together_and_settled_by_what_was_asked(
    settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(**JUDGED)
    write(store, FILE, *pairs(4))
    _, told = evaluated(candidate)
    verdict = store.verdict(candidate, Stage.EVALUATION)
    assert verdict is not None
    paid = posting(store, candidate)
    assert paid is not None
    assert (paid.settled, paid.reserved_usd, paid.spent_usd) == (True, 0, verdict.cost_usd)
    judge, estimate = Decimal(told["judge_usd"]), Decimal(told["estimated_usd"])
    assert told["judge_calls"] == 4 * 2
    # 512 tokens of explanation in each of eight calls, at 2.50 dollars a million, and what the judge has read.
    assert judge > 8 * 512 * Decimal("2.50") / 1_000_000
    assert judge < verdict.cost_usd < estimate, "no answer is at its longest"
    assert paid.estimated_usd == estimate


def test_without_a_judge_only_answers_are_paid_for(
    settings: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(metrics=["exact_match"])
    write(store, FILE, *pairs(4))
    _, told = evaluated(candidate)
    assert (told["judge_calls"], Decimal(told["judge_usd"])) == (0, 0)


def test_an_evaluation_over_a_limit_is_held_before_anything_is_asked_and_goes_on_once_it_is_approved(  # noqa: PLR0917
    cloud: StandIns,
    settings: Callable[..., None],
    budget: Callable[..., None],
    store: RecordStore,
    candidate: str,
    completions: Reader,
) -> None:
    settings(**JUDGED)
    budget(candidate_usd="0.001")
    write(store, FILE, *pairs(4))
    before = cloud.vertex_calls("generateContent"), cloud.vertex_calls("evaluateInstances")
    with pytest.raises(AirflowSkipException, match="held: Evaluation of "):
        evaluated(candidate)
    assert (cloud.vertex_calls("generateContent"), cloud.vertex_calls("evaluateInstances")) == before
    assert store.verdict(candidate, Stage.EVALUATION) is None
    assert posting(store, candidate) is None
    hold = the_hold(store, candidate)
    assert (hold.stage, hold.limits) == (Stage.EVALUATION, ("budget.candidate_usd",))
    assert hold.missing_usd == hold.asked_usd - Decimal("0.001")
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.evaluation.held.v1"

    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    told = evaluate_in(candidate, "run-2")
    assert told["outcome"] == "passed"
    assert Decimal(told["estimated_usd"]) == hold.asked_usd
    paid = posting(store, candidate)
    assert paid is not None
    assert (paid.approved_by, paid.settled) == ("ada@laptop", True)


def test_who_becomes_champion_while_an_evaluation_is_held_is_whom_it_is_compared_with_and_paid_for(  # noqa: PLR0917
    config: Config,
    settings: Callable[..., None],
    budget: Callable[..., None],
    store: RecordStore,
    candidate: str,
    endpoint: str,
) -> None:
    settings(metrics=["exact_match", "pairwise"], judge={"samples": 2})
    write(store, FILE, *pairs(3))
    budget(candidate_usd="0.0001")
    with pytest.raises(AirflowSkipException, match="held"):
        evaluated(candidate)
    first = the_hold(store, candidate)
    budget(candidate_usd="5")
    champion = promoted(config, store, endpoint)
    budget(candidate_usd="0.0001")
    holds.approve(store, first, by="ada@laptop", reason="It is worth it.")
    # The comparison was not in the sum that was approved.
    with pytest.raises(AirflowSkipException, match="held"):
        evaluate_in(candidate, "run-2")
    again = the_hold(store, candidate)
    assert (again.number, again.asked_usd > first.asked_usd) == (2, True)
    holds.approve(store, again, by="ada@laptop", reason="That, too.")
    told = evaluate_in(candidate, "run-3")
    assert (told["champion"], told["metrics"]["pairwise"]["mean"]) == (champion, 0.5)
    plans = [store.read(plan_path(candidate, number), EvaluationPlan) for number in range(3)]
    assert [plan and plan.champion for plan in plans] == [None, champion, champion]


def test_a_repeated_try_is_not_held_for_what_it_has_reserved_before(
    settings: Callable[..., None], budget: Callable[..., None], store: RecordStore, candidate: str
) -> None:
    settings(**JUDGED)
    write(store, FILE, *pairs(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genops_events.evaluation.scored_run.ScoredRun.ask_and_score", die)
        with pytest.raises(KeyboardInterrupt):
            evaluated(candidate)
    paid = posting(store, candidate)
    assert paid is not None
    assert not paid.settled
    budget(candidate_usd="0.0001")
    assert evaluated(candidate)[1]["outcome"] == "passed"
    assert not store.names(record_paths.holds_folder(candidate))
