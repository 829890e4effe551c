"""Promotion: the better candidate is champion, whoever races or refuses on the way."""

from __future__ import annotations

import json
from functools import partial

import pytest
from cloud import DATASET, Reader, at_once
from made_up import arrived, context, ended, tuned
from promotions import METRIC, champion, judged, promote

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.errors import StepAside
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import intent_path
from genops_events.record.stages import Outcome, Stage


def test_the_first_candidate_becomes_champion(config: Config, store: RecordStore) -> None:
    candidate = judged(config, store, 0.5)
    made = promote(candidate)
    assert (made.outcome, made.metric, made.score) == (Outcome.PROMOTED, METRIC, 0.5)
    assert (made.champion_before, made.champion_score) == (None, None)
    assert "No champion yet" in made.reason
    now_serving = champion(store)
    assert (now_serving.candidate, now_serving.predecessor) == (candidate, None)
    assert now_serving.scores == {METRIC: 0.5, "rouge": 0.9}
    tuning = StageRun(Stage.PROMOTION, candidate, "run-1").tuning
    assert (now_serving.model, now_serving.endpoint) == (tuning.model, tuning.endpoint)


def test_a_better_candidate_takes_the_place_and_names_whose(config: Config, store: RecordStore) -> None:
    first = judged(config, store, 0.5)
    promote(first)
    second = judged(config, store, 0.6)
    made = promote(second)
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.PROMOTED, first, 0.5)
    assert "0.6 exceeds the champion's 0.5" in made.reason
    assert (champion(store).candidate, champion(store).predecessor) == (second, first)


@pytest.mark.parametrize("score", [0.5, 0.4, 0.0, float("nan")])
def test_a_tie_or_worse_is_held_and_the_champion_stays(config: Config, store: RecordStore, score: float) -> None:
    first = judged(config, store, 0.5)
    promote(first)
    before = champion(store)
    made = promote(judged(config, store, score))
    assert (made.outcome, made.champion_before, made.champion_score) == (Outcome.HELD, first, 0.5)
    assert champion(store) == before


def test_a_margin_must_be_exceeded(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dataset = config.dataset(DATASET)
    wider = config.model_dump(mode="json", exclude_none=True)
    wider["datasets"][DATASET]["evaluation"]["margin"] = 0.1
    assert dataset.evaluation.margin == 0.0
    file = tmp_path_factory.mktemp("wider") / "genops.yaml"
    file.write_text(json.dumps(wider))
    promote(judged(config, store, 0.5))
    monkeypatch.setenv("GENOPS_CONFIG", str(file))
    assert promote(judged(config, store, 0.6)).outcome is Outcome.HELD
    assert promote(judged(config, store, 0.61)).outcome is Outcome.PROMOTED


def test_a_refused_candidate_is_held_for_the_reason_of_its_refusal_even_without_a_champion(
    config: Config, store: RecordStore
) -> None:
    made = promote(judged(config, store, 0.9, evaluation=Outcome.REFUSED))
    assert (made.outcome, made.reason, made.score) == (Outcome.HELD, "evaluation says so", 0.9)
    assert store.champion(DATASET) is None


@pytest.mark.parametrize(("there", "missing"), [(Stage.EVALUATION, "budget"), (Stage.BUDGET, "evaluation")])
def test_promotion_waits_for_both_verdicts_and_takes_nothing_on(
    config: Config, store: RecordStore, there: Stage, missing: str
) -> None:
    candidate = arrived(config, store).candidate
    tuned(store, candidate)
    outcome = Outcome.PASSED if there is Stage.EVALUATION else Outcome.APPROVED
    ended(store, there, outcome, candidate)
    with pytest.raises(StepAside, match=f"waiting for the verdict of {missing}"):
        promote(candidate)
    assert store.bucket.get_blob(intent_path(candidate, Stage.PROMOTION)) is None


@pytest.mark.parametrize("failed", ["evaluation", "budget"])
def test_a_failed_candidate_is_not_promoted(config: Config, store: RecordStore, failed: str) -> None:
    outcomes = {failed: Outcome.FAILED}
    candidate = judged(config, store, 0.9, **outcomes)
    with pytest.raises(StepAside, match="has failed"):
        promote(candidate)
    assert store.verdict(candidate, Stage.PROMOTION) is None
    assert store.champion(DATASET) is None


def test_the_events_of_evaluation_and_budget_are_out_before_promotion_decides(
    config: Config, store: RecordStore, completions: Reader
) -> None:
    PromoteModel(task_id="promote").execute(context(judged(config, store, 0.5)))
    kinds = [one.attributes["ce-type"] for one in completions.read_some(3)]
    assert kinds == ["genops.evaluation.passed.v1", "genops.budget.approved.v1", "genops.promotion.promoted.v1"]


def test_a_candidate_that_was_not_measured_by_the_decisive_metric_is_held_and_says_so(
    config: Config, store: RecordStore
) -> None:
    candidate = arrived(config, store).candidate
    tuned(store, candidate)
    ended(store, Stage.EVALUATION, Outcome.PASSED, candidate, scores={"rouge": 0.9})
    ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    made = promote(candidate)
    assert made.outcome is Outcome.HELD
    assert METRIC in made.reason
    assert store.champion(made.dataset) is None


# Six at once


def test_of_six_candidates_at_once_the_best_ends_as_champion_and_nobody_is_lost(
    config: Config, store: RecordStore
) -> None:
    scores = {judged(config, store, score): score for score in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)}
    verdicts = at_once(*(partial(promote, candidate) for candidate in scores))
    assert {one.candidate for one in verdicts} == set(scores)
    assert {one.outcome for one in verdicts} <= {Outcome.PROMOTED, Outcome.HELD}
    assert scores[champion(store).candidate] == 0.75
    promoted = sorted((one for one in verdicts if one.outcome is Outcome.PROMOTED), key=lambda one: one.score or 0)
    # Each champion took the place of the one before: no change was written over another.
    assert [one.champion_before for one in promoted] == [None, *(one.candidate for one in promoted[:-1])]
    for held in (one for one in verdicts if one.outcome is Outcome.HELD):
        assert held.champion_score is not None
        assert held.champion_score > (held.score or 0)


def test_of_six_equals_at_once_one_is_champion(config: Config, store: RecordStore) -> None:
    equals = [judged(config, store, 0.5) for _ in range(6)]
    outcomes = [one.outcome for one in at_once(*(partial(promote, candidate) for candidate in equals))]
    assert sorted(outcomes) == [Outcome.HELD] * 5 + [Outcome.PROMOTED]
